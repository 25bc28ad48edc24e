"""A small cooperative: Alice has money, Bob gets it, Mallory guesses."""

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from mobile_api import ledger
from mobile_api.models import Account, AccountKind, Member, Transfer
from tests.integration.mobile_api.phone import Phone


@pytest.fixture
def till(db):
    return Account.objects.create(number="00-1", kind=AccountKind.COOPERATIVE, currency="EUR")


@pytest.fixture
def join(till):
    """Take somebody in, with money."""

    def join(name, number, amount_minor, currency="EUR"):
        member = Member.objects.create(
            number=number,
            name=name,
            email=f"{name.lower()}@example.org",
            pin=make_password("2468"),
        )
        account = Account.objects.create(number=f"10-{number}", member=member, currency=currency)
        if amount_minor:
            now = timezone.now()
            deposit = Transfer.objects.create(
                payer=till,
                payee=account,
                amount_minor=amount_minor,
                currency=currency,
                created_at=now,
            )
            ledger.post(deposit, now=now)
        return Phone(member)

    return join


@pytest.fixture
def alice(join):
    return join("Alice", "1001", 10_000)


@pytest.fixture
def bob(join):
    return join("Bob", "1002", 10_000)


@pytest.fixture
def mallory(join):
    return join("Mallory", "1003", 10_000)
