"""A receipt shows that this code was typed for these facts at this time, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase, ascii_uppercase, digits
from uuid import uuid4

import pytest

from otpmail import challenges, receipts
from otpmail.crypto import keys
from otpmail.exceptions import NotHereError
from otpmail.models import Challenge
from otpmail.testing import live_code
from tests import orders

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orders")]


LETTERS = ascii_uppercase + ascii_lowercase + digits + "-_"


@pytest.fixture
def ring(settings):
    settings.OTPMAIL_KEYS = {"old": keys.new()}


def confirm(**named):
    issued = challenges.issue(
        "order",
        owner="alice",
        recipient="alice@example.org",
        facts=orders.place(),
        context={"shop": "Potatoes & Sons"},
    )
    code = live_code(issued.challenge_id)
    result = challenges.verify("order", issued.challenge_id, code, owner="alice", **named)
    return issued.challenge_id, result


def proves(confirmed_id, result, **changes):
    said = {
        "challenge_id": confirmed_id,
        "purpose": "order",
        "owner": "alice",
        "facts": dict(orders.ORDER),
        "confirmed_at": result.confirmed_at,
    }
    return receipts.check(result.receipt, **said | changes)


def test_receipt_proves_what_was_confirmed(ring):
    challenge_id, result = confirm()
    assert proves(challenge_id, result)
    assert result.receipt.startswith("2.old.")


@pytest.mark.parametrize(
    "other", ["challenge_id", "purpose", "owner", "facts", "confirmed_at", "recipient", "context"]
)
def test_receipt_proves_nothing_else(ring, other):
    challenge_id, result = confirm()
    changes = {
        "challenge_id": uuid4(),
        "purpose": "sign-in",
        "owner": "mallory",
        "recipient": "mallory@example.org",
        "context": {"shop": "another"},
        "facts": orders.ORDER | {"amount_minor": 12_51},
        "confirmed_at": result.confirmed_at + timedelta(microseconds=1),
    }
    mailed = {"recipient": "alice@example.org", "context": {"shop": "Potatoes & Sons"}}
    assert proves(challenge_id, result, **mailed)
    assert not proves(challenge_id, result, **mailed | {other: changes[other]})


def test_the_row_that_was_confirmed_gives_the_same_receipt(ring):
    """The time it holds is the time as the database keeps it."""
    given = []
    challenge_id, result = confirm(confirmed=lambda challenge: given.append(receipts.of(challenge)))
    stored = Challenge.objects.get(pk=challenge_id)
    assert [result.receipt] == given == [receipts.of(stored)]


def test_receipt_outlives_the_rotation_of_its_key_and_not_its_revocation(ring, settings):
    challenge_id, result = confirm()
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    assert proves(challenge_id, result)
    settings.OTPMAIL_KEYS = {"new": settings.OTPMAIL_KEYS["new"]}
    with pytest.raises(NotHereError):  # good or not: this process cannot tell
        proves(challenge_id, result)
    settings.OTPMAIL_REVOKED_KEYS = ["old"]
    assert not proves(challenge_id, result)


@pytest.mark.parametrize(
    "receipt",
    [
        "",
        "2",
        "2..x.y",
        "2.old.x",
        "2.no key.x.y",
        "9.old.x.y",
        "2.old.x.\u00e9",
        f"2.{'k' * 51}.x.y",
    ],
)
def test_what_is_no_receipt_is_none_and_no_fault(ring, receipt):
    """No more is logged than a real key's id would be."""
    now = datetime.now(UTC)
    said = {"challenge_id": uuid4(), "purpose": "order", "owner": "alice", "confirmed_at": now}
    assert not receipts.check(receipt, facts={}, **said)


@pytest.mark.parametrize(
    "respell",
    [
        lambda shown: shown[:10] + "!" + shown[10:],
        lambda shown: shown[:10] + "\n" + shown[10:],
        lambda shown: shown + "=",
        lambda shown: shown + "==AAAA",
        lambda shown: shown[:-1] + LETTERS[LETTERS.index(shown[-1]) ^ 1],
        lambda shown: shown.replace("-", "+").replace("_", "/") + "\n",
    ],
)
@pytest.mark.parametrize("part", [2, 3])
def test_receipt_has_one_spelling(ring, part, respell):
    confirmed_id, result = confirm()
    parts = result.receipt.split(".")
    parts[part] = respell(parts[part])
    assert proves(confirmed_id, result)
    assert not proves(confirmed_id, replace(result, receipt=".".join(parts)))


def test_receipt_under_another_key_of_the_same_name_is_none(ring, settings):
    challenge_id, result = confirm()
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    assert not proves(challenge_id, result)


def test_there_is_no_receipt_before_the_code_is_typed(ring):
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    with pytest.raises(ValueError, match="no receipt"):
        receipts.of(Challenge.objects.get())


def test_the_longest_key_id_fits(settings):
    settings.OTPMAIL_KEYS = {"k" * 50: keys.new()}
    _, result = confirm()
    assert len(result.receipt) <= receipts.MAX_LENGTH


JUNK = [None, 7, b"2.old.a.b", "", "2", "2...", "2.old.a", "ü.ü.ü.ü", "2.old.ü.ü", "\ud800", [], {}]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_what_is_no_receipt_is_none(ring, junk):
    confirmed_id, result = confirm()
    said = {"purpose": "order", "owner": "alice", "facts": dict(orders.ORDER)}
    at = result.confirmed_at
    assert receipts.check(junk, challenge_id=confirmed_id, confirmed_at=at, **said) is False


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"challenge_id": "junk"}, ValueError, "challenge_id is a UUID"),
        ({"challenge_id": None}, ValueError, "challenge_id is a UUID"),
        ({"purpose": 7}, TypeError, "purpose is a str"),
        ({"owner": None}, TypeError, "owner is a str"),
        ({"facts": 7}, TypeError, "facts is a mapping"),
        ({"facts": {"a": 1.5}}, TypeError, "facts"),
        ({"confirmed_at": None}, TypeError, "confirmed_at is a datetime"),
        ({"confirmed_at": "2026-01-01"}, TypeError, "confirmed_at is a datetime"),
        ({"confirmed_at": datetime(2026, 1, 1)}, ValueError, "time zone"),  # noqa: DTZ001
        ({"recipient": 7}, TypeError, "recipient is a str"),
        ({"recipient": "a@example.org", "context": 7}, TypeError, "context is a mapping"),
    ],
    ids=str,
)
def test_what_a_receipt_is_said_to_be_for_is_looked_at(ring, change, error, words):
    confirmed_id, result = confirm()
    with pytest.raises(error, match=words):
        proves(confirmed_id, result, **change)


def test_receipt_takes_an_id_and_a_context_as_they_were_given(ring):
    confirmed_id, result = confirm()
    shown = {"recipient": "alice@example.org", "context": {"shop": "Potatoes\n& Sons"}}
    assert proves(str(confirmed_id), result, **shown)


def test_time_before_1970_is_another_time(ring):
    confirmed_id, result = confirm()
    assert not proves(confirmed_id, result, confirmed_at=datetime(1, 1, 1, tzinfo=UTC))
