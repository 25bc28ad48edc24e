"""Ask what it costs to make a mail: from a challenge to a message, and from that to its bytes.

Codes' mails of the default templates, text and HTML, and a project's own mail of text alone, in
this process. The ways are measured in turns, so that what else the machine does falls on each
alike; the bytes as Django makes them stand beside. Nothing is read from a database, or sent.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import django
from django.core.mail import EmailMessage

WARM_UP = 50

type Act = Callable[[], object]


def main() -> None:
    """Measure, and print one row a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=2000, help="measured a way")
    options = parser.parse_args()
    configure()
    acts = ways()
    times: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(-WARM_UP, options.mails):
        for name, act in acts.items():
            began = time.thread_time_ns()
            act()
            if number >= 0:
                times[name].append((time.thread_time_ns() - began) / 1e6)
    print(f"Django {django.get_version()}, milliseconds of processor time")
    print(f"{'':34}{'median':>9}{'p99':>9}")
    for name, of_way in times.items():
        p99 = statistics.quantiles(of_way, n=100)[98]
        print(f"{name:34}{statistics.median(of_way):>9.3f}{p99:>9.3f}")


def configure() -> None:
    """Set up Django as the kiosk does."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()


def ways() -> dict[str, Act]:
    """Name what is measured."""
    from otpmail.backends.flatten import flatten
    from otpmail.backends.translation import as_mail
    from otpmail.delivery import rendering

    delivery, challenge = enqueued()
    own = EmailMessage("Your invoice", "Dear Alice\n" * 20, to=["alice@example.org"])
    own.extra_headers = {
        "Message-ID": delivery.message_id,
        "Date": "Tue, 24 Nov 2026 13:20:10 +0000",
    }

    def render() -> Any:
        return rendering.render(delivery, challenge, "123456").mail

    rendered = render()
    assert flatten(rendered)
    return {
        "a code's mail: render": render,
        "a code's mail: its bytes": lambda: as_mail(rendered),
        "a code's mail: both": lambda: as_mail(render()),
        "a code's mail: Django's bytes": lambda: rendered.message().as_bytes(),
        "other mail, text: its bytes": lambda: as_mail(own),
    }


def enqueued() -> tuple[Any, Any]:
    """Make a delivery and its challenge, as a courier has read them."""
    from django.utils import timezone

    from otpmail.models import Challenge, Delivery

    now, delivery_id = timezone.now(), uuid4()
    challenge = Challenge(
        id=uuid4(),
        purpose="sign-in",
        owner="7",
        recipient="alice@example.org",
        language="en",
        time_zone="Europe/Berlin",
        expires_at=now + timedelta(minutes=10),
    )
    delivery = Delivery(
        id=delivery_id,
        challenge=challenge,
        created_at=now,
        message_id=f"<{delivery_id}@bank.example>",
    )
    return delivery, challenge


if __name__ == "__main__":
    main()
