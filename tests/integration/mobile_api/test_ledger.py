"""No row can hold a state that the cooperative forbids."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from mobile_api import ledger
from mobile_api.models import Account, Entry, Transfer, TransferState
from otpmail import receipts
from otpmail.crypto import keys, linking
from otpmail.db.compat import uuid7
from otpmail.exceptions import NotHereError
from otpmail.models import Challenge, ChallengeState

pytestmark = pytest.mark.django_db

SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
SOME_ID = UUID("01900000-0000-7000-8000-000000000000")
"""What names a test is the same in each process that collects it."""


@pytest.fixture
def draft(alice, bob):
    """A transfer from Alice to Bob, with some columns changed."""

    def draft(**columns):
        payer, payee = (phone.member.account_set.get() for phone in (alice, bob))
        values = {
            "payer": payer,
            "payee": payee,
            "amount_minor": 100,
            "currency": "EUR",
            "created_at": timezone.now(),
        }
        return Transfer(**values | columns)

    return draft


def receipt_of(transfer, now):
    """What otpmail gives when the transfer's code is typed."""
    transfer.challenge_id = transfer.challenge_id or uuid7()
    confirmed = Challenge(
        id=transfer.challenge_id,
        purpose=ledger.PURPOSE,
        owner=ledger.owner(transfer.payer.member_id),
        recipient="alice@example.org",
        state=ChallengeState.CONFIRMED,
        ended_at=now,
    )
    linking.link(confirmed, ledger.facts(transfer))
    return receipts.of(confirmed)


def post(transfer):
    now = timezone.now()
    receipt = receipt_of(transfer, now)
    transfer.save()
    return ledger.post(transfer, now=now, receipt=receipt)


def refused(write):
    with pytest.raises(IntegrityError), transaction.atomic():
        write()


def test_a_posting_adds_up_to_nought(draft):
    transfer = draft()
    assert post(transfer)
    assert transfer.state == TransferState.CONFIRMED
    assert transfer.entries.aggregate(sum=Sum("amount_minor"))["sum"] == 0


def test_a_posting_that_the_money_does_not_cover_is_rejected(draft, alice, bob):
    transfer = draft(amount_minor=10_001)
    assert not post(transfer)
    assert transfer.state == TransferState.REJECTED
    assert (alice.balance(), bob.balance()) == (10_000, 10_000)
    assert not transfer.entries.exists()


def test_a_transfer_is_posted_once(draft):
    transfer = draft()
    post(transfer)
    refused(lambda: post(transfer))
    assert transfer.payer.entries.filter(transfer=transfer).count() == 1


def test_the_cooperative_alone_may_owe(draft, till, alice):
    transfer = draft(payer=till, amount_minor=999_999_999_999)
    transfer.save()
    assert ledger.post(transfer, now=timezone.now())
    refused(lambda: Account.objects.filter(member=alice.member).update(balance_minor=-1))


@pytest.mark.parametrize(
    "columns",
    [
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"amount_minor": 1_000_000_000_000},
        {"state": "lost"},
        {"state": "confirmed"},
        {"state": "cancelled", "ended_at": SOME_TIME},
        {"state": "cancelled", "ended_at": SOME_TIME, "reason": "insufficient-funds"},
        {"state": "rejected", "ended_at": SOME_TIME, "reason": "expired"},
        {"ended_at": SOME_TIME},
        {"reason": "expired"},
        {"receipt": "1.k.mac"},
        {"state": "confirmed", "ended_at": SOME_TIME, "challenge_id": SOME_ID},
    ],
    ids=str,
)
def test_a_forbidden_transfer_cannot_be_stored(draft, columns):
    refused(draft(**columns).save)


def test_a_transfer_to_itself_cannot_be_stored(draft):
    transfer = draft()
    transfer.payee = transfer.payer
    refused(transfer.save)


def test_an_entry_that_moves_nothing_cannot_be_stored(draft):
    transfer = draft()
    transfer.save()
    refused(Entry(transfer=transfer, account=transfer.payer, amount_minor=0).save)


def test_an_account_has_an_owner_or_is_the_cooperatives(alice, till):
    refused(lambda: Account.objects.create(number="x", currency="EUR"))
    refused(lambda: Account.objects.filter(pk=till.pk).update(kind="current", balance_minor=0))
    refused(lambda: Account.objects.filter(member=alice.member).update(kind="cooperative"))


def test_an_entry_is_neither_changed_nor_deleted(alice):
    entry = Entry.objects.filter(account__member=alice.member).get()
    entry.amount_minor += 1
    refused(entry.save)
    for write in (entry.delete, Entry.objects.all().delete):
        with pytest.raises(TypeError):
            write()
    with pytest.raises(TypeError):
        Entry.objects.update(amount_minor=F("amount_minor") + 1)
    assert Entry.objects.get(pk=entry.pk).amount_minor == 10_000


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 101},
        {"currency": "USD"},
        {"payee_id": "the till's"},
        {"id": SOME_ID},
        {"challenge_id": SOME_ID},
    ],
    ids=str,
)
def test_nothing_is_posted_on_the_receipt_of_something_else(draft, alice, till, change):
    """Whoever could change a row after its code was typed moves no money by it."""
    transfer, now = draft(), timezone.now()
    receipt = receipt_of(transfer, now)
    transfer.save()
    for column, value in change.items():
        setattr(transfer, column, till.pk if column == "payee_id" else value)
    with pytest.raises(ledger.ReceiptError):
        ledger.post(transfer, now=now, receipt=receipt)
    assert alice.balance() == 10_000


@pytest.mark.parametrize(
    "bent",
    ["", "2.no key.x.mac", "x", "2.", "é", "1.{}.x.mac", "2.{}.x.mac", "2.{}.x.é", "2.{}.x."],
)
def test_nothing_is_posted_on_what_is_no_receipt(draft, bent):
    transfer, now = draft(challenge_id=uuid7()), timezone.now()
    with pytest.raises(ledger.ReceiptError):
        ledger.post(transfer, now=now, receipt=bent.format(keys.current().id))


def test_nothing_is_posted_on_the_receipt_of_a_key_that_is_not_here(draft, settings):
    transfer, now = draft(challenge_id=uuid7()), timezone.now()
    with pytest.raises(NotHereError):
        ledger.post(transfer, now=now, receipt="2.newer.x.mac")
    settings.OTPMAIL_REVOKED_KEYS = ["newer"]
    with pytest.raises(ledger.ReceiptError):
        ledger.post(transfer, now=now, receipt="2.newer.x.mac")


def test_nothing_is_posted_at_another_time_than_the_receipts(draft):
    transfer, now = draft(), timezone.now()
    receipt = receipt_of(transfer, now)
    with pytest.raises(ledger.ReceiptError):
        ledger.post(transfer, now=now + timedelta(microseconds=1), receipt=receipt)
