"""A dump is restored elsewhere: what waited in it is dropped, or sent from here."""

from datetime import UTC, timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from otpmail import challenges, routes
from otpmail.db import database
from otpmail.delivery import holders, settling
from otpmail.models import Delivery, StoredMessage
from otpmail.operations import restoring
from otpmail.results import MailStatus, NextStep, Verified
from otpmail.testing import live_code
from tests import mailserver, rounds
from tests.integration.backends.test_outbox import through_outbox

pytestmark = pytest.mark.django_db(transaction=True)

ELSEWHERE = "0123456789abcdef/7/7/dead"


@pytest.fixture
def server(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    with mailserver.running() as server:
        through_outbox(settings, server.port)
        yield server
        routes.close()


def restored(*arguments) -> str:
    out = StringIO()
    call_command("otpmail_after_restore", *arguments, stdout=out)
    return out.getvalue()


def held_by(holder):
    """Give all that is queued to a holder, for a year."""
    until = database.now() + timedelta(days=365)
    Delivery.objects.filter(state="queued").update(leased_by=holder, leased_until=until)


@pytest.fixture
def dump(server, monkeypatch):
    """Two codes and a mail, held by a process of another host; and a code that was accepted."""
    monkeypatch.setattr(restoring, "STEP", 2)
    rounds.promise(owner="done")
    rounds.carry()
    issued = [rounds.promise(owner=name) for name in ("alice", "bob")]
    mail.send_mail("Hello", "a secret", "alice@example.org", ["carol@example.org"])
    held_by(ELSEWHERE)
    server.mails.clear()
    return issued


def fates():
    return sorted(Delivery.objects.values_list("state", "reason", "leased_by"))


ACCEPTED = ("accepted", "", "")
DROPPED = ("dropped", "restored", "")
HELD = ("queued", "", ELSEWHERE)
FREE = ("queued", "", "")


def test_drop_ends_what_waited_and_nothing_else(dump, server, caplog):
    assert "3 dropped" in restored("--drop")
    assert fates() == [ACCEPTED, DROPPED, DROPPED, DROPPED]
    assert not StoredMessage.objects.exists()
    assert rounds.carry() == []
    assert server.mails == []
    lines = [record for record in caplog.messages if "dropped reason=restored" in record]
    assert len(lines) == 3
    assert "carol@" not in "".join(lines)
    assert "0 dropped" in restored("--drop")


def test_after_a_drop_people_are_told_to_ask_again_and_codes_are_still_good(dump):
    issued, _ = dump
    restored("--drop")
    status = challenges.status("sign-in", issued.challenge_id, owner="alice")
    assert (status.delivery.status, status.delivery.next_step) == (
        MailStatus.DROPPED,
        NextStep.ASK_AGAIN,
    )
    code = live_code(issued.challenge_id)  # of a mail that left before the dump was made
    assert isinstance(rounds.verify(issued, code), Verified)


def test_release_gives_what_waited_to_the_couriers_here(dump, server):
    assert "3 released" in restored("--release")
    assert fates() == [ACCEPTED, FREE, FREE, FREE]
    assert "0 released" in restored("--release")
    rounds.carry()
    assert len(server.wait_for(2)) == 2
    assert StoredMessage.objects.count() == 1  # in its own queue


def test_release_leaves_a_living_process_of_this_host_what_it_holds(dump):
    held_by(holders.new())
    assert "0 released, 3 are held" in restored("--release")
    assert "queued" in {state for state, *_ in fates()}
    dead = f"{holders.new().partition('/')[0]}/999999999/1/x"
    held_by(dead)
    assert "3 released, 0 are held" in restored("--release")


@pytest.mark.parametrize("which", ["--drop", "--release"])
def test_dry_run_counts_and_changes_nothing(dump, which):
    before = fates()
    told = restored(which, "--dry-run")
    assert told.startswith("3 deliveries enqueued before")
    assert "3 would be" in told
    assert fates() == before


@pytest.mark.parametrize("zone", ["+00:00", "Z", "offset"])
def test_what_was_promised_since_is_left_alone(dump, zone):
    moment = database.now().astimezone(UTC)
    later = rounds.promise(owner="later")
    text = moment.isoformat().replace("+00:00", zone)
    if zone == "offset":
        text = (moment + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
    assert "3 dropped" in restored("--drop", "--enqueued-before", text)
    assert Delivery.objects.get(challenge=later.challenge_id).state == "queued"


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-11-25", "2026-11-25T12:00:00", "2026-13-45T12:00:00Z", ""]
)
def test_what_is_no_moment_is_refused(dump, text):
    with pytest.raises(CommandError, match="no moment"):
        restored("--drop", "--enqueued-before", text)
    assert fates() == [ACCEPTED, HELD, HELD, HELD]


@pytest.mark.parametrize("which", [[], ["--drop", "--release"]])
def test_it_is_said_which_of_the_two(dump, which):
    with pytest.raises(CommandError):
        restored(*which)


def test_what_was_settled_meanwhile_is_not_taken(dump):
    ids = list(Delivery.objects.values_list("pk", flat=True))
    assert len(settling.take_over(ids, None, now=database.now())) == 3
    assert fates() == [ACCEPTED, FREE, FREE, FREE]
