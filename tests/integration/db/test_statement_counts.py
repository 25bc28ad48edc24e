"""Each call sends as many statements and commits as the table in the docs says, a database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.mail import EmailMessage
from django.db import connections

from otpmail import challenges, engines
from otpmail.addresses.requester import Client
from otpmail.backends import outbox
from otpmail.db import database
from otpmail.delivery import courier, leases
from otpmail.engines.claims import Claims
from otpmail.engines.maintenance import Maintenance
from otpmail.engines.schedule import Schedule
from otpmail.models import Delivery, Queue
from otpmail.testing import live_code
from tests import rounds

pytestmark = pytest.mark.django_db(transaction=True)

DESIGN = Path(__file__).parents[3] / "docs/explanation/design.md"
COLUMNS = {"sqlite": 2, "postgresql": 3, "mysql": 4}
HIDDEN = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN")
WHOSE: dict[str, Any] = {"owner": "alice", "client": Client(address="192.0.2.1")}


@pytest.fixture(autouse=True)
def _one_courier_by_hand(settings, clock):
    """Let the test be the courier, and no time pass after which more is asked."""
    settings.MAILERS = {
        "default": {"BACKEND": outbox.BACKEND, "OPTIONS": {"routes": ["other"]}},
        "other": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
    }
    settings.OTPMAIL_ROUTES = ["other"]
    settings.OTPMAIL_ENGINE = "tests.engines.Held"
    settings.OTPMAIL_COOL_DOWN_SECONDS = (0,)
    settings.OTPMAIL_RECIPIENT_QUOTA = settings.OTPMAIL_CLIENT_QUOTA = (100, 100)
    settings.OTPMAIL_LOCKOUT_FAILURES = (100, 100)


@contextmanager
def counted(sent: list[str]) -> Iterator[None]:
    """Note what is sent, and what is committed: what stands in no transaction is one itself."""
    connection = connections["default"]

    def note(execute, sql, params, many, context):
        if not sql.startswith(HIDDEN):
            is_write = not sql.startswith("SELECT")
            sent.append(sql)
            sent.extend(["COMMIT"] if is_write and not connection.in_atomic_block else [])
        return execute(sql, params, many, context)

    def commit():
        sent.append("COMMIT")
        type(connection).commit(connection)

    connection.commit = commit
    try:
        with connection.execute_wrapper(note):
            yield
    finally:
        del connection.commit


def calls() -> Iterator[tuple[str, Callable[[], object]]]:
    """Give each call and its name, one after the other, of somebody who was here before."""
    codes: list[Any] = []
    yield "`issue`", lambda: codes.append(rounds.promise(**WHOSE))
    yield "a round, a code", a_round()
    code = codes[-1]
    yield "`resend`", lambda: challenges.resend("sign-in", code.challenge_id, **WHOSE)
    a_round()()
    yield "`status`", lambda: challenges.status("sign-in", code.challenge_id, owner="alice")
    typed = live_code(code.challenge_id) or ""
    wrong = rounds.other_than(typed)
    yield "`verify`, wrong", lambda: rounds.verify(code, wrong, **WHOSE)
    yield "`verify`, right", lambda: rounds.verify(code, typed, **WHOSE)
    mail = EmailMessage("News", "Hello.\n", "shop@example.org", ["bob@example.org"])
    backend = outbox.EmailBackend(routes=["other"])
    yield "`send_mail`", lambda: backend.send_messages([mail])
    yield "a round, other mail", a_round()
    backend.send_messages([mail])
    yield "a hint's claim", a_claim()
    yield "a round that reads", a_round()
    yield "a sweep, nothing is due", sweep


def a_round() -> Callable[[], object]:
    pk = queued()
    return lambda: courier.run([pk], holder())


def a_claim() -> Callable[[], object]:
    leases.release(holder())
    pk, now = queued(), database.now()
    return lambda: leases.claim(holder(), queue=Queue.MAIL, now=now, limit=1, only=[pk])


def sweep() -> None:
    schedule = Schedule(dict.fromkeys(Queue, 1))
    maintenance = Maintenance(holder(), schedule)
    claims = Claims(holder(), schedule, patience_seconds=float, is_staffed=lambda: True)
    maintenance.run()
    for queue in Queue:
        claims.claim_due(queue)
    schedule.close()
    maintenance.end()


def holder() -> str:
    return engines.current().holder(Queue.CODE) or ""


def queued() -> UUID:
    return Delivery.objects.get(state="queued").pk


def test_each_call_sends_what_the_docs_say():
    counts = {}
    for _ in range(2):  # the second time all is known that is kept for a while
        for name, act in calls():
            sent: list[str] = []
            with counted(sent):
                act()
            commits = sent.count("COMMIT")
            counts[name] = f"{len(sent) - commits} + {commits}"
    assert counts == told(COLUMNS[connections["default"].vendor])


def told(column: int) -> dict[str, str]:
    """Read the table: statements and commits."""
    _, _, table = DESIGN.read_text().partition("| call | what is asked")
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    return {row[0]: row[column] for row in rows}
