"""Tokens and kept answers go when they have had their time; the books stay."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from mobile_api.management.commands import kiosk_prune
from mobile_api.models import Entry, IdempotencyKey, Token, Transfer

pytestmark = pytest.mark.django_db(transaction=True)


def age(row, **columns):
    now = timezone.now()
    type(row).objects.filter(pk=row.pk).update(
        **{name: now - timedelta(days=days) for name, days in columns.items()}
    )


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"created_at": 31, "expires_at": 29}, True),
        ({"created_at": 32, "expires_at": 31}, False),
        ({"created_at": 32, "revoked_at": 31}, False),
        ({"created_at": 32, "revoked_at": 29}, True),
    ],
)
def test_a_token_goes_thirty_days_after_its_end(alice, capsys, columns, kept):
    age(Token.objects.get(), **columns)
    call_command("kiosk_prune")
    assert Token.objects.exists() == kept
    assert f"Deleted {int(not kept)} tokens" in capsys.readouterr().out


def test_a_kept_answer_goes_after_seven_days_and_its_transfer_stays(alice, bob):
    transfer = alice.post("transfers", alice.wish(bob), status=201, key="first")
    assert alice.post("transfers", alice.wish(bob), status=201, key="first") == transfer
    age(IdempotencyKey.objects.get(), created_at=6)
    call_command("kiosk_prune")
    assert IdempotencyKey.objects.count() == 1
    age(IdempotencyKey.objects.get(), created_at=8)
    call_command("kiosk_prune")
    assert not IdempotencyKey.objects.exists()
    assert Transfer.objects.filter(pk=transfer["id"]).exists()
    assert Entry.objects.exists()


def test_many_go_in_batches(alice, monkeypatch):
    monkeypatch.setattr(kiosk_prune, "BATCH", 2)
    now = timezone.now() - timedelta(days=40)
    Token.objects.bulk_create(
        Token(
            member=alice.member,
            digest=f"{number:064d}",
            created_at=now,
            seen_at=now,
            expires_at=now + timedelta(hours=1),
        )
        for number in range(5)
    )
    call_command("kiosk_prune")
    assert Token.objects.count() == 1
