"""Every backend is given addresses that it writes as every other."""

from email.headerregistry import Address

import pytest
from anymail.message import AnymailMessage
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from otpmail.addresses.spelling import spell
from tests.corpus.mails import mail
from tests.corpus.values import Boxes

STREET, ASCII_STREET = "bob@straße.example", "bob@xn--strae-oqa.example"


class ChallengeView(str):
    __slots__ = ()

    def __str__(self):
        return "hidden"


SPELT = {
    "domain": (STREET, ASCII_STREET),
    "final sigma": ("bob@ς.example", "bob@xn--3xa.example"),
    "name and domain": (f"Bøb <{STREET}>", f"Bøb <{ASCII_STREET}>"),
    "name with a dot": ("Bob Inc. <bob@example.org>", '"Bob Inc." <bob@example.org>'),
    "dots in a row": ("b..b@docomo.ne.jp", '"b..b"@docomo.ne.jp'),
    "lazy": (gettext_lazy(STREET), ASCII_STREET),
    "proxy": (SimpleLazyObject(lambda: STREET), ASCII_STREET),
    "Address": (Address("B. B", "bob", "straße.example"), f'"B. B" <{ASCII_STREET}>'),
    "member": (Boxes.BOB, "bob@example.org"),
    "proxy of a member": (SimpleLazyObject(lambda: Boxes.BOB), "bob@example.org"),
    "class of its own": (ChallengeView("bob@example.org"), "bob@example.org"),
}


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "reply_to"])
@pytest.mark.parametrize(("written", "spelt"), SPELT.values(), ids=SPELT)
def test_every_addressee_is_spelt(name, written, spelt):
    message = mail(**{name: ["alice@example.org", written]})
    assert getattr(spell(message), name) == ["alice@example.org", spelt]
    assert getattr(message, name)[1] is written


@pytest.mark.parametrize("name", ["From", "to", "CC", "Sender", "Reply-To", "Resent-From"])
@pytest.mark.parametrize(("written", "spelt"), SPELT.values(), ids=SPELT)
def test_every_header_of_addresses_is_spelt(name, written, spelt):
    headers = {"X-Before": "Inc.", name: written, gettext_lazy("X-After"): STREET}
    assert [*spell(mail(headers=headers)).extra_headers.values()] == ["Inc.", spelt, STREET]


@pytest.mark.parametrize(("written", "spelt"), SPELT.values(), ids=SPELT)
def test_the_sender_is_spelt_and_who_takes_bounces(written, spelt):
    message = mail(AnymailMessage, from_email=written, envelope_sender=written)
    made = spell(message)
    assert (made.from_email, made.envelope_sender) == (spelt, spelt)


@pytest.mark.parametrize("name", ["merge_data", "merge_headers", "merge_metadata"])
def test_what_is_looked_up_by_an_address_is_found_by_it(name):
    message = mail(AnymailMessage, to=[STREET, "a@example.org"])
    setattr(message, name, {STREET: {"a": 1}, "a@example.org": {"a": 2}})
    assert getattr(spell(message), name) == {ASCII_STREET: {"a": 1}, "a@example.org": {"a": 2}}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"to": ["Bob <bob@example.org>", None, ""], "cc": ("c@example.org",)},
        {"to": [gettext_lazy("bob@example.org")], "from_email": "webmaster"},
        {"to": ["bob@example.org (Bob)"], "headers": {"To": "undisclosed-recipients:;"}},
        {"headers": {"X-Of": STREET, "From": Address("A", "a", "example.org")}},
    ],
    ids=repr,
)
def test_mail_that_is_in_order_is_left_alone(fields):
    message = mail(**fields)
    assert spell(message) is message


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "reply_to", "from_email", "extra_headers"])
def test_nothing_is_read_as_no_address(name):
    message = mail()
    setattr(message, name, None)
    if name == "extra_headers":
        message.extra_headers = {"To": None}
    assert spell(message) is message
