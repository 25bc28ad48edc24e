"""Two members with money, to try the kiosk with. Run twice, it changes nothing."""

from dataclasses import dataclass
from typing import Any, override
from uuid import NAMESPACE_DNS, UUID, uuid5

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from mobile_api import ledger
from mobile_api.models import Account, AccountKind, Member, Transfer

CURRENCY = "EUR"
DEPOSIT_MINOR = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody to play with."""

    number: str
    name: str
    email: str
    pin: str
    account: str

    @property
    def deposit_id(self) -> UUID:
        """Always the same, so that money is paid in once."""
        return uuid5(NAMESPACE_DNS, f"deposit.{self.account}.kiosk.example")


PEOPLE = (
    Person(
        number="1001", name="Alice Adler", email="alice@example.org", pin="2468", account="10-0001"
    ),
    Person(number="1002", name="Bob Berg", email="bob@example.org", pin="1357", account="10-0002"),
)


class Command(BaseCommand):
    """Loads the demonstration's members, accounts and money."""

    help = "Loads two members with money, and prints their numbers and PINs."

    @override
    def handle(self, *_: Any, **__: Any) -> None:
        with transaction.atomic():
            self._load_all()

    def _load_all(self) -> None:
        till, _created = Account.objects.get_or_create(
            number="00-0001", defaults={"kind": AccountKind.COOPERATIVE, "currency": CURRENCY}
        )
        for person in PEOPLE:
            self._load(person, till)
            self.stdout.write(
                f"{person.name}: member number {person.number}, PIN {person.pin}, "
                f"account {person.account}, {person.email}"
            )

    def _load(self, person: Person, till: Account) -> None:
        member = Member.objects.filter(number=person.number).first() or Member.objects.create(
            number=person.number,
            name=person.name,
            email=person.email,
            pin=make_password(person.pin),
        )
        account, _created = Account.objects.get_or_create(
            number=person.account, defaults={"member": member, "currency": CURRENCY}
        )
        now = timezone.now()
        deposit, is_new = Transfer.objects.get_or_create(
            id=person.deposit_id,
            defaults={
                "payer": till,
                "payee": account,
                "amount_minor": DEPOSIT_MINOR,
                "currency": CURRENCY,
                "created_at": now,
            },
        )
        if is_new:
            ledger.post(deposit, now=now)
