"""What the person read is what is confirmed: who writes the database is found out."""

import pytest
from django.core import mail

from otpmail.crypto import keys, linking, transaction_data
from otpmail.models import Challenge, Delivery
from otpmail.results import Ended, Verified
from otpmail.testing import live_code
from tests import orders
from tests.mailtemplates import templates
from tests.rounds import carry, promise, verify

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orders")]

SHOP = {"shop": "Potatoes & Sons"}


def issue(**changes):
    return promise(**{"purpose": "order", "facts": orders.place(), "context": SHOP} | changes)


def write(**columns):
    Challenge.objects.update(**columns)


def change_amount():
    orders.ORDER["amount_minor"] = 1
    write(binding=transaction_data.digest(orders.ORDER))


def take_out_of_another():
    """Move the digest of a challenge that the writer had made for these facts."""
    orders.ORDER["amount_minor"] = 1
    other = promise(
        purpose="order", owner="mallory", recipient="m@example.org", facts=dict(orders.ORDER)
    )
    theirs = Challenge.objects.get(pk=other.challenge_id)
    mine = Challenge.objects.exclude(pk=theirs.pk)
    mine.update(binding=theirs.binding)
    theirs.delete()


WRITES = {
    "amount": change_amount,
    "digest of another": take_out_of_another,
    "context": lambda: write(context={"shop": "Mallory's"}),
    "no context": lambda: write(context={}),
    "recipient": lambda: write(recipient="mallory@example.org"),
    "letters of the recipient": lambda: write(recipient="Alice@example.org"),
    "no facts any more": lambda: write(is_bound=False),
    "version": lambda: write(binding_version=1, binding=transaction_data.digest(orders.ORDER)),
    "binding": lambda: write(binding=bytes(32)),
}


@pytest.mark.parametrize("what", WRITES)
def test_who_writes_the_database_is_found_out_when_the_code_is_typed(what):
    issued = issue()
    code = live_code(issued.challenge_id)
    WRITES[what]()
    assert verify(issued, code, purpose="order") == Ended(state="changed")


@pytest.mark.parametrize("what", WRITES)
def test_who_writes_the_database_is_found_out_when_the_mail_is_made(settings, what):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    issue()
    WRITES[what]()
    carry()
    assert mail.outbox == []
    assert Delivery.objects.values_list("state", "reason").get() == ("dropped", "changed")


@pytest.mark.parametrize("column", ["purpose", "owner"])
def test_challenge_that_is_given_to_another_is_found_out(settings, column):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    settings.OTPMAIL_PURPOSES |= {"other": settings.OTPMAIL_PURPOSES["order"]}
    issued = issue()
    write(**{column: "other"})
    whose = {"purpose": "order", "owner": "alice"} | {column: "other"}
    code = live_code(issued.challenge_id)
    assert verify(issued, code, **whose) == Ended(state="changed")
    carry()
    assert mail.outbox == []


@pytest.mark.parametrize(
    "columns", [{"recipient": "mallory@example.org"}, {"context": SHOP}, {"is_bound": True}]
)
def test_code_without_facts_is_as_safe(columns):
    issued = promise()
    code = live_code(issued.challenge_id)
    write(**columns)
    if "is_bound" in columns:
        write(purpose="order")
        orders.place()
    purpose = Challenge.objects.get().purpose
    assert verify(issued, code, purpose=purpose) == Ended(state="changed")


def test_the_mail_shows_the_facts_as_they_are_and_no_context_can_say_otherwise(settings):
    settings.TEMPLATES = [
        templates(
            {"otpmail/order/body.txt": "{{ code }}: {{ amount_minor }} to {{ payee }}, {{ shop }}"}
        )
    ]
    with pytest.raises(ValueError, match="rename one of the two"):
        issue(context={"amount_minor": "1", "payee": "you", **SHOP})
    issue(context=SHOP)
    assert ": 1250 to acc-7, Potatoes & Sons" in mail.outbox[-1].body


def test_what_nobody_wrote_is_confirmed():
    issued = issue()
    assert isinstance(verify(issued, live_code(issued.challenge_id), purpose="order"), Verified)


def test_binding_is_under_the_key_of_its_challenge_and_outlives_its_rotation(settings):
    settings.OTPMAIL_KEYS = {"old": keys.new()}
    issued = issue()
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    row = Challenge.objects.get()
    assert linking.holds(row, dict(orders.ORDER))
    settings.OTPMAIL_KEYS = {"new": settings.OTPMAIL_KEYS["new"], "old": keys.new()}
    assert not linking.holds(row, dict(orders.ORDER))
    settings.OTPMAIL_REVOKED_KEYS, settings.OTPMAIL_KEYS = ["old"], {"new": keys.new()}
    assert verify(issued, "123456", purpose="order") == Ended(state="cancelled")
