"""A person is told what is kept of them, and it is erased when they say so."""

import json
import logging

import pytest
from django.core.management import call_command
from django.db import connection

from otpmail import challenges
from otpmail.addresses.masking import mask
from otpmail.db import database
from otpmail.limits import suppressions
from otpmail.models import Attempt, Challenge, Delivery, DeliveryEvent, Suppression
from otpmail.operations import privacy
from otpmail.signals import challenge_ended
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = "alice@example.org"


def issue(owner="alice", recipient=ALICE, **named):
    return challenges.issue("sign-in", owner=owner, recipient=recipient, **named)


@pytest.fixture
def theirs():
    """One to her address, one to an older address of hers, one of Bob's."""
    return (
        issue(context={"amount": "12.50"}),
        issue(recipient="old@example.org"),
        issue(owner="bob", recipient="bob@example.org"),
    )


def test_export_tells_all_but_what_codes_are_made_of(theirs, capsys):
    code = live_code(theirs[0].challenge_id)
    call_command("otpmail_export", "Alice@Example.ORG")
    text = capsys.readouterr().out
    (told,) = json.loads(text)
    assert told["id"] == str(theirs[0].challenge_id)
    assert told["recipient"] == ALICE
    assert told["context"] == {"amount": "12.50"}
    assert told["deliveries"][0]["attempts"][0]["outcome"] == "accepted"
    assert not privacy.SECRET & set(told)
    assert code not in text


def test_no_column_is_forgotten():
    """A new one is told, or is what codes are made of."""
    columns = {field.name for field in Challenge._meta.concrete_fields}
    assert columns == privacy.SECRET | set(privacy.OF_A_CHALLENGE)


def test_export_by_owner_finds_older_addresses(theirs, capsys):
    call_command("otpmail_export", ALICE, owner="alice")
    told = json.loads(capsys.readouterr().out)
    assert [row["recipient"] for row in told] == [ALICE, "old@example.org"]


def test_erasing_ends_what_is_pending_and_leaves_others_alone(theirs, capsys):
    ended = []

    def note(challenge, **_):
        ended.append((challenge.pk, challenge.state))

    challenge_ended.connect(note)
    try:
        call_command("otpmail_erase", "ALICE@example.org", owner="alice")
    finally:
        challenge_ended.disconnect(note)
    assert ended == [(issued.challenge_id, "cancelled") for issued in theirs[:2]]
    assert [row.owner for row in Challenge.objects.all()] == ["bob"]
    assert (Delivery.objects.count(), Attempt.objects.count()) == (1, 1)
    assert "Erased 2 challenges" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recipient", "owner"),
    [("josé@example.org", "x"), ("alicé@example.org", "ALICE"), ("alice@example.com", "alicé")],
)
def test_whoever_is_nearly_called_so_is_left_alone(recipient, owner):
    """Whatever a database's collation holds to be equal."""
    challenges.issue("sign-in", owner=owner, recipient="bob@example.org")
    Challenge.objects.update(recipient=recipient)
    assert privacy.erase(recipient="jose@example.org").count == 0
    assert privacy.erase(recipient=ALICE, owner="alice").count == 0
    assert Challenge.objects.exists()


def test_of_who_was_erased_no_table_and_no_log_knows_the_address(theirs, caplog):
    caplog.set_level(logging.DEBUG)
    privacy.erase(recipient=ALICE, owner="alice")
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {table}")
            assert ALICE not in str(cursor.fetchall())
    assert ALICE not in caplog.text


def test_who_is_not_named_is_nobody():
    with pytest.raises(ValueError, match="whose rows"):
        privacy.erase()


def test_no_line_of_any_step_holds_a_full_address(caplog, pass_time):
    """Only ``mask`` of it, which says whose provider is slow and not whose mail it was."""
    caplog.set_level(logging.DEBUG)
    issued = issue()
    pass_time(issued.challenge_id, 61)
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    challenges.verify("sign-in", issued.challenge_id, "000000", owner="alice")
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    issue()
    privacy.erase(recipient=ALICE)
    lines = [record.getMessage() for record in caplog.records if record.name == "otpmail"]
    assert len(lines) >= 6
    assert any(mask(ALICE) in line for line in lines)
    assert ALICE not in caplog.text


def test_erasing_leaves_no_suppression_of_theirs(theirs):
    now = database.now()
    for address in (ALICE, "old@example.org", "bob@example.org"):
        suppressions.suppress(address, DeliveryEvent.BOUNCED, since=now)
    privacy.erase(recipient=ALICE, owner="alice")
    assert [suppressions.is_suppressed(each, now=now) for each in (ALICE, "bob@example.org")] == [
        False,
        True,
    ]
    assert Suppression.objects.count() == 1
    privacy.erase(recipient="BOB@example.org")  # whose rows may be gone already
    assert not Suppression.objects.exists()


def test_export_tells_what_a_provider_reported(theirs):
    Delivery.objects.filter(challenge=theirs[0].challenge_id).update(
        event=DeliveryEvent.BOUNCED, event_at=database.now(), event_reason="Mailgun: 5.1.1"
    )
    (told,) = privacy.export(recipient=ALICE)
    assert told["deliveries"][0]["event_reason"] == "Mailgun: 5.1.1"
