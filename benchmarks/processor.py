"""Ask what each call takes of a processor, in this process alone: medians, in milliseconds.

Each round, somebody new comes for a code. A mail server of a process of its own takes all mails
at once; rounds are done here, one after the other, so that each counts for itself. What the
database's server takes is not counted.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dj_database_url
import django
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, connections

from benchmarks.queries import IMMEDIATE
from demo import machine
from tests.mailserver import free_port

OUTBOX = {
    "BACKEND": "otpmail.backends.outbox.EmailBackend",
    "OPTIONS": {"routes": ["smtp"]},
}


def main() -> None:
    """Measure, and print a table."""
    options = arguments()
    took_ms: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configure(options.database_url or f"sqlite:///{home}/db", stack.enter_context(sink(home)))
        name = connection.creation.create_test_db(verbosity=0, serialize=False)
        stack.callback(connection.creation.destroy_test_db, name, verbosity=0)
        stack.callback(connections.close_all)
        for number in range(-options.rounds // 10, options.rounds):
            for call, ms in one_person(f"person-{number}"):
                if number >= 0:  # the ones before connect, compile and fill caches
                    took_ms[call].append(ms)
    print(f"{connection.vendor:24}{'median ms':>10}{'p90':>8}")
    for call, each in took_ms.items():
        p90 = statistics.quantiles(each, n=10)[-1]
        print(f"{call:24}{statistics.median(each):>10.2f}{p90:>8.2f}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument(
        "--database-url", help="a database beside which another is made and dropped; else SQLite"
    )
    return parser.parse_args()


def configure(database_url: str, port: int) -> None:
    """Set Django up: otpmail alone."""
    database: Any = dj_database_url.parse(database_url)
    if database_url.startswith("sqlite"):
        database |= {"OPTIONS": IMMEDIATE, "TEST": {"NAME": database["NAME"]}}
    route = {
        "BACKEND": "otpmail.backends.smtp.EmailBackend",
        "OPTIONS": {"host": "127.0.0.1", "port": port},
    }
    settings.configure(
        SECRET_KEY=str(uuid4()),
        INSTALLED_APPS=["otpmail"],
        DATABASES={"default": database},
        MAILERS={"default": OUTBOX, "smtp": route},
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        OTPMAIL_COOL_DOWN_SECONDS=(0,),
        OTPMAIL_CLIENT_QUOTA=(10**6, 10**6),
        OTPMAIL_ENGINE="benchmarks.held.HeldEngine",
        OTPMAIL_ROUTES=["smtp"],
        USE_TZ=True,
    )
    django.setup()
    logging.disable(logging.WARNING)


@contextmanager
def sink(home: Path) -> Iterator[int]:
    """Run a mail server. Gives its port."""
    port, output = free_port(), home / "output"
    server = ["-m", "benchmarks.mailserver", str(port), str(home / "journal"), str(home / "delay")]
    process = machine.start(server, dict(os.environ), output)
    try:
        machine.wait_for(port, process, output)
        yield port
    finally:
        machine.kill(process)


def one_person(who: str) -> Iterator[tuple[str, float]]:
    """Have somebody new ask for a code, look, ask again and type it; and mail them."""
    from otpmail import challenges, engines, testing
    from otpmail.addresses.requester import Client

    engine: Any = engines.current()
    whose: Any = {"owner": who, "client": Client(address="192.0.2.1")}
    issued, ms = timed(lambda: challenges.issue("a", owner=who, recipient=f"{who}@example.org"))
    yield "issue", ms
    yield "round, a code", timed(engine.round)[1]
    issued, ms = timed(lambda: challenges.issue("b", recipient=f"{who}@example.net", **whose))
    yield "issue, to a client", ms
    code = issued.challenge_id
    engine.round()
    yield "status", timed(lambda: challenges.status("b", code, owner=who))[1]
    yield "resend", timed(lambda: challenges.resend("b", code, **whose))[1]
    engine.round()
    typed = testing.live_code(code)
    yield "verify, wrong", timed(lambda: challenges.verify("b", code, other(typed), **whose))[1]
    yield "verify, right", timed(lambda: challenges.verify("b", code, typed, **whose))[1]
    mail = ("News", "Hello.\n", "shop@example.org", [f"{who}@example.org"])
    yield "send_mail", timed(lambda: send_mail(*mail))[1]
    yield "round, other mail", timed(engine.round)[1]


def other(typed: str | None) -> str:
    """Give six digits that are not these."""
    return f"{(int(typed or 0) + 1) % 10**6:06d}"


def timed[T](call: Callable[[], T]) -> tuple[T, float]:
    """Call, and tell what all threads of this process took."""
    began = time.process_time()
    result = call()
    return result, (time.process_time() - began) * 1000


if __name__ == "__main__":
    main()
