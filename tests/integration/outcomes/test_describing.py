"""What a log says of a database's errors: each real, on whatever database the tests run."""

import functools
import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.dispatch import receiver

from otpmail import signals
from otpmail.db import database
from otpmail.exceptions import foreign
from otpmail.models import Challenge, Suppression
from otpmail.outcomes.describing import describe, log_fault

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "alice's@secret.example.org"


def violate_unique():
    now = database.now()
    for _ in range(2):
        row = Suppression(digest=SECRET, reason="bounced", created_at=now, until=now + timedelta(1))
        row.save(force_insert=True)


def violate_check():
    now = database.now()
    Suppression(digest=SECRET, reason="bounced", created_at=now, until=now).save()


def violate_null():
    challenge = Challenge(id=uuid4(), purpose="x", recipient=SECRET, owner="alice")
    challenge.save(force_insert=True)


FAULTS = [violate_unique, violate_check, violate_null]


def fault_of(violate):
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        violate()
    return caught.value


@pytest.mark.parametrize("violate", FAULTS)
def test_error_is_one_line_that_names_kind_and_state_and_no_value(violate):
    told = describe(fault_of(violate))
    assert told.startswith("IntegrityError ")
    assert "secret" not in told
    assert "\n" not in told
    signs = {
        "postgresql": "sqlstate=23",
        "mysql": "errno=",
        "sqlite": "sqlite=SQLITE_CONSTRAINT_",
    }
    assert signs[connection.vendor] in told


def test_check_that_was_violated_is_named():
    assert "constraint=otpmail_suppression_life" in describe(fault_of(violate_check))


@pytest.mark.parametrize("violate", FAULTS)
def test_traceback_goes_apart_and_quotes_no_row_either(violate, caplog):
    log_fault(logging.getLogger("otpmail"), "Email: it failed", fault_of(violate))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert violate.__name__ in caplog.text
    assert "secret" not in caplog.text


def test_error_of_a_receiver_is_told_without_its_words(caplog):
    def fail(**_):
        violate_unique()

    receiver(signals.link_cancelled)(fail)
    foreign.send_signal(signals.link_cancelled, sender=Challenge, challenge=Challenge())
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "Email: a receiver of a signal failed" in record.getMessage()
    assert "IntegrityError" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert "secret" not in caplog.text
    signals.link_cancelled.disconnect(fail)


class Failing:
    def __call__(self, **_):
        raise ValueError(SECRET)

    def method(self, **_):
        self()


FAILING = {
    "Failing": Failing(),
    "partial": functools.partial(Failing()),
    "Failing.method": Failing().method,
    "<lambda>": lambda **_: Failing()(),
}


@pytest.mark.parametrize("name", FAILING)
def test_receiver_of_any_kind_that_fails_is_named_and_stops_nobody(caplog, name):
    heard = []

    def later(**_):
        heard.append(name)

    for one in (FAILING[name], later):
        signals.circuit_closed.connect(one, weak=False)
    try:
        foreign.send_signal(signals.circuit_closed, sender=None, route="default")
    finally:
        for one in (FAILING[name], later):
            signals.circuit_closed.disconnect(one)
    assert heard == [name]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert name in record.getMessage()
    assert "secret" not in caplog.text


def test_database_that_is_away_is_told_in_its_own_words():
    with connection.cursor() as cursor, pytest.raises(DatabaseError) as caught:
        cursor.execute("SELECT nothing FROM nowhere")
    assert "nowhere" not in describe(caught.value) or connection.vendor == "sqlite"


RAISES = {
    "postgresql": [
        f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{state}'; END $$"
        for state in ("53100", "57P03", "08006", "40001", "P0001")
    ],
    "mysql": [
        f"SIGNAL SQLSTATE '{state}' SET MESSAGE_TEXT = 'secret', MYSQL_ERRNO = {errno}"
        for state, errno in (("45000", 1644), ("08S01", 1053), ("HY000", 1205), ("40001", 1213))
    ],
    "sqlite": ["SELECT json('[secret')", "SELECT json_extract('{}', 'secret')", "SELECT 'secret"],
}


def test_words_that_a_statement_raises_are_not_told():
    """They may quote a row, whatever kind of error it says it is."""
    for statement in RAISES[connection.vendor]:
        with connection.cursor() as cursor, pytest.raises(DatabaseError) as caught:
            cursor.execute(statement)
        assert "secret" in str(caught.value) or connection.vendor == "sqlite"
        assert "secret" not in describe(caught.value)
        connection.close()
