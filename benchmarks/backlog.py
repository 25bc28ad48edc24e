"""``python -m benchmarks.backlog COUNT``: so many codes that are due at once, and nobody's.

They are copies of one promise, each with its own ids, owner and recipient.
"""

import itertools
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.laws import Seen
from demo import machine

STEADY = 0.8
"""What is sent on average, of what is sent in most seconds."""


def write(environment: Mapping[str, str], count: int) -> None:
    """Write them into a site's database, in one transaction."""
    engine = {"OTPMAIL_ENGINE": "otpmail.engines.worker.WorkerEngine"}
    machine.run(["-m", "benchmarks.backlog", str(count)], {**environment, **engine})


def gaps(seen: Seen, since: float) -> Iterator[str]:
    """Tell whether couriers idled while there was something to do."""
    rows = seen.deliveries.values()
    times = sorted(
        seen.taken[row.message_id][0]
        for row in rows
        if not row.transfer and row.message_id in seen.taken
    )
    if len(times) < 100:
        yield f"backlog: only {len(times)} were taken"
        return
    a_second = Counter(int(at - times[0]) for at in times)
    counts = [a_second[second] for second in range(int(times[-1] - times[0]))]
    usual, average = statistics.median(counts), statistics.mean(counts)
    print(f"    backlog: {len(times)} in {times[-1] - since:.0f} s, {average:.0f} a second")
    if average < STEADY * usual:
        yield f"gaps: {average:.0f} a second on average, {usual:.0f} in most seconds"
    if idle := sum(count < usual / 5 for count in counts):
        yield f"gaps: couriers idled in {idle} of {len(counts)} seconds"


def main(count: int) -> None:
    """Write them."""
    import django

    django.setup()
    from django.db import transaction

    from otpmail import challenges
    from otpmail.models import Challenge, Delivery

    with transaction.atomic():
        challenges.issue("sign-in", owner="0", recipient="m0@example.org")
        challenge = Challenge.objects.get(purpose="sign-in")
        delivery = Delivery.objects.get(challenge=challenge)
        for numbers in itertools.batched(range(1, count), 500):
            copies = [copy_of(challenge, n) for n in numbers]
            Challenge.objects.bulk_create(copies)
            Delivery.objects.bulk_create(copy_to(delivery, copy) for copy in copies)


def copy_of(challenge: Any, number: int) -> Any:
    """Make another member's."""
    from otpmail.crypto import linking
    from otpmail.db.compat import uuid7

    values = {field.attname: getattr(challenge, field.attname) for field in challenge._meta.fields}
    who = {"id": uuid7(), "owner": str(number), "recipient": f"m{number}@example.org"}
    copy = type(challenge)(**values | who)
    linking.link(copy, None)  # a row that is only copied is one that somebody forged
    return copy


def copy_to(delivery: Any, challenge: Any) -> Any:
    """Make its mail."""
    from otpmail.db.compat import uuid7

    values = {field.attname: getattr(delivery, field.attname) for field in delivery._meta.fields}
    pk = uuid7()
    mine = {"id": pk, "challenge_id": challenge.pk, "message_id": f"<{pk}@localhost>"}
    return type(delivery)(**values | mine)


if __name__ == "__main__":
    main(int(sys.argv[1]))
