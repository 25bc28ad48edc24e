"""An old key can go when nothing that waits stands under it, and a command tells when."""

from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command

from otpmail import challenges
from otpmail.audit import chain
from otpmail.crypto import keys
from otpmail.db import database
from otpmail.models import AuditEntry, Challenge, Delivery
from otpmail.testing import live_code
from tests.mailserver import OUR_BACKEND, route_through
from tests.rounds import promise, verify

pytestmark = pytest.mark.django_db(transaction=True)

OUTBOX = "otpmail.backends.outbox.EmailBackend"


@pytest.fixture(autouse=True)
def _ring(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_KEYS = {"old": keys.new()}


def put_new_one_first(settings):
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}


def retire(capsys, key_id="old"):
    call_command("otpmail_key", retire=key_id)
    return capsys.readouterr().out


def refused(capsys, match):
    with pytest.raises(CommandError, match=match):
        call_command("otpmail_key", retire="old")
    return capsys.readouterr().out


def test_current_key_stays(capsys):
    refused(capsys, "'old' is current")


def test_pending_challenges_keep_a_key_until_the_last_is_over(settings, capsys):
    issued, later = promise(), promise()
    put_new_one_first(settings)
    until = Challenge.objects.get(pk=later.challenge_id).closes_at
    assert f"2 pending challenges, until {until:%Y-%m-%d %H:%M:%S} UTC" in refused(capsys, "Keep")
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    assert "1 pending challenges" in refused(capsys, "Keep")
    challenges.cancel("sign-in", later.challenge_id, owner="alice")
    said = refused(capsys, "Keep")
    assert "pending" not in said
    until = AuditEntry.objects.filter(action="issued").last().at + timedelta(days=730)
    assert f"2 issues in the audit, until {until:%Y-%m-%d %H:%M:%S} UTC" in said


def test_key_that_nothing_stands_under_can_go(settings, capsys):
    put_new_one_first(settings)
    promise()
    assert retire(capsys) == "Nothing that waits stands under 'old'.\n"


def test_seals_keep_a_key_as_long_as_the_audit_is_kept(settings, capsys):
    promise()
    now = database.now()
    chain.seal(now=now)
    put_new_one_first(settings)
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 10
    until = now + timedelta(days=10)
    assert f"1 seals of the audit, until {until:%Y-%m-%d %H:%M:%S} UTC" in refused(capsys, "Keep")
    settings.OTPMAIL_AUDIT_KEEP_DAYS = 0
    assert "1 seals of the audit, for good" in refused(capsys, "Keep")


def test_sealed_mail_keeps_a_key_until_its_deadline(settings, capsys):
    route_through(settings, OUTBOX, routes=["smtp"])
    settings.MAILERS = settings.MAILERS | {"smtp": {"BACKEND": OUR_BACKEND}}
    settings.OTPMAIL_ROUTES = ["smtp"]
    EmailMessage("Hello", "hello", to=["alice@example.org"]).send()
    put_new_one_first(settings)
    until = Delivery.objects.get().deadline
    assert f"1 stored messages, until {until:%Y-%m-%d %H:%M:%S} UTC" in refused(capsys, "Keep")


def test_receipts_are_told(settings, capsys):
    issued = promise()
    verify(issued, live_code(issued.challenge_id))
    put_new_one_first(settings)
    assert "1 confirmed challenges; without the key their receipts" in refused(capsys, "Keep")


def test_key_that_is_revoked_or_unknown_is_named_as_that(settings, capsys):
    settings.OTPMAIL_REVOKED_KEYS = ["stolen"]
    assert "which is revoked" in retire(capsys, "stolen")
    assert "which this process does not know" in retire(capsys, "never heard of")


def test_key_of_the_secret_key_is_retired_behind_the_first_ring(settings, capsys):
    ring, settings.OTPMAIL_KEYS = settings.OTPMAIL_KEYS, {}
    promise()
    of_secret = keys.current().id
    settings.OTPMAIL_KEYS = ring
    with pytest.raises(CommandError, match=f"Keep '{of_secret}' until then"):
        call_command("otpmail_key", retire=of_secret)
