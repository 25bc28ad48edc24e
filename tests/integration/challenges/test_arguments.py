"""What a call is given is looked at first, and alike on every database."""

import re
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otpmail import challenges
from otpmail.addresses.requester import Client
from otpmail.challenges import To
from otpmail.delivery import rendering
from otpmail.display import one_line
from otpmail.models import AuditEntry, Challenge, Counter, Delivery
from otpmail.results import InvalidAddress, Issued, Malformed, NotFound
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)

NAMED = {"purpose": "sign-in", "owner": "alice", "recipient": "alice@example.org"}
DOORS = {
    "issue": lambda purpose, **named: challenges.issue(
        purpose, recipient="alice@example.org", **named
    ),
    "resend": lambda purpose, **named: challenges.resend(purpose, uuid4(), **named),
    "verify": lambda purpose, **named: challenges.verify(purpose, uuid4(), "123456", **named),
    "cancel": lambda purpose, **named: challenges.cancel(purpose, uuid4(), **named),
    "status": lambda purpose, **named: challenges.status(purpose, uuid4(), **named),
    "open": lambda purpose, **named: challenges.open(purpose=purpose, **named),
    "cancel_all": lambda purpose, **named: challenges.cancel_all(purpose=purpose, **named),
}
NO_TEXT = [7, 7.5, b"alice", ["alice"], {"a": 1}, True, uuid4(), object()]
UNFIT = ["", "a\0b", "\0", "a\ud800", "\udfff"]
JUNK = [
    None,
    "",
    "junk",
    "\0",
    "\ud800",
    7,
    2**200,
    b"1",
    [],
    {},
    object(),
    "x" * 100_000,
    "1" * 32,
]


def issue(**changes):
    return challenges.issue(**NAMED | changes)


def nothing_was_written():
    rows = (Challenge, Delivery, Counter, AuditEntry)
    return not any(model.objects.exists() for model in rows)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["purpose", "owner"])
def test_what_is_no_text_says_what_to_pass(door, name):
    values = NO_TEXT if name == "purpose" and door in ("open", "cancel_all") else [None, *NO_TEXT]
    for value in values:
        with pytest.raises(TypeError, match=f"^{name} is a str, not {type(value).__name__}$"):
            DOORS[door](**{"purpose": "sign-in", "owner": "alice"} | {name: value})
    assert nothing_was_written()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "most"), [("purpose", 50), ("owner", 100)])
def test_what_no_column_holds_says_why(door, name, most):
    for value in [*UNFIT, "x" * (most + 1)]:
        with pytest.raises(ValueError, match=f"^{name} h"):
            DOORS[door](**{"purpose": "sign-in", "owner": "alice"} | {name: value})
    assert nothing_was_written()


@pytest.mark.parametrize("door", ["issue", "resend", "verify", "cancel", "cancel_all"])
@pytest.mark.parametrize("client", [None, "192.0.2.1", {}])
def test_who_asks_is_a_client(door, client):
    with pytest.raises(TypeError, match=r"otpmail\.challenges\.Client"):
        DOORS[door]("sign-in", owner="alice", client=client)


@pytest.mark.parametrize("name", ["credential", "device"])
def test_names_of_a_client_are_texts(name):
    for value, error in [(None, TypeError), (7, TypeError), ("a\0", ValueError)]:
        with pytest.raises(error, match=f"Client.{name}"):
            issue(client=Client(**{name: value}))


@pytest.mark.parametrize("name", ["long", "decoy"])
@pytest.mark.parametrize("value", [None, "no", 1, []])
def test_yes_and_no_are_nothing_else(name, value):
    with pytest.raises(TypeError, match=f"{name} is True or False"):
        issue(**{name: value})


@pytest.mark.parametrize("value", ["x" * 50, "Ümläut", "\U0001f511", "../..", "a b", "a'b"])
def test_longest_and_strangest_purposes_are_good(value):
    issued = issue(purpose=value)
    code = live_code(issued.challenge_id)
    result = challenges.verify(value, issued.challenge_id, code, owner="alice")
    assert type(result).__name__ == "Verified"


@pytest.mark.parametrize("value", ["\U0001f511" * 100, " alice ", "a\nb", "'; --"])
def test_longest_and_strangest_owners_are_good(value):
    issued = issue(owner=value)
    code = live_code(issued.challenge_id)
    result = challenges.verify("sign-in", issued.challenge_id, code, owner=value)
    assert type(result).__name__ == "Verified"


# What a person sends is answered


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_what_is_no_id_is_not_found(junk):
    assert challenges.verify("sign-in", junk, "123456", owner="alice") == NotFound()
    assert challenges.resend("sign-in", junk, owner="alice") == NotFound()
    assert challenges.cancel("sign-in", junk, owner="alice") == NotFound()
    assert challenges.status("sign-in", junk, owner="alice") == NotFound()


def test_id_is_found_as_it_is_written():
    issued = issue()
    for form in (str, lambda pk: str(pk).upper(), lambda pk: pk.hex, lambda pk: f"{{{pk}}}"):
        told = challenges.status("sign-in", form(issued.challenge_id), owner="alice")
        assert told.reference == issued.reference


@pytest.mark.parametrize("junk", [*JUNK, 123456, 1.5, ["1"]], ids=lambda junk: type(junk).__name__)
def test_what_is_no_code_is_malformed_and_free(junk):
    issued = issue()
    result = challenges.verify("sign-in", issued.challenge_id, junk, owner="alice")
    assert result == Malformed(digits=6)
    assert Challenge.objects.get().failures == 0


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_what_is_no_address_is_answered(junk):
    assert isinstance(issue(recipient=junk), InvalidAddress)
    assert nothing_was_written()


# Context


@pytest.mark.parametrize("context", ["a", 7, ["a"], [("a", "b")], {"a"}])
def test_context_is_a_mapping(context):
    with pytest.raises(TypeError, match="context is a mapping"):
        issue(context=context)


@pytest.mark.parametrize("value", [None, 7, 12.5, b"Bob", ["Bob"], {"a": "b"}])
def test_value_of_a_context_is_a_text(value):
    with pytest.raises(TypeError, match=r"context\['payee'\] is a str"):
        issue(context={"payee": value})


@pytest.mark.parametrize("name", [7, None, "", "a\0"])
def test_name_in_a_context_is_a_text(name):
    with pytest.raises((TypeError, ValueError), match="a name in context"):
        issue(context={name: "Bob"})


def test_name_that_is_empty_says_so():
    with pytest.raises(ValueError, match="has 1 or more characters, not 0"):
        issue(context={"": "Bob"})


@pytest.mark.parametrize("falsy", [0, "", [], False])
def test_only_none_is_no_context(falsy):
    with pytest.raises(TypeError, match="context is a mapping"):
        issue(context=falsy)


# Facts

FACTS = [
    (7, TypeError, "facts is a mapping"),
    ([1], TypeError, "facts is a mapping"),
    ("amount", TypeError, "facts is a mapping"),
    ({7: "x"}, TypeError, "a name in facts is a str"),
    ({None: "x"}, TypeError, "a name in facts is a str"),
    ({"": "x"}, ValueError, "a name in facts has 1 to 255"),
    ({"a" * 256: "x"}, ValueError, "a name in facts has 1 to 255"),
    ({"ä": "x"}, ValueError, "a name in facts is ASCII"),
    ({"a": None}, TypeError, "facts['a'] is a str or an int"),
    ({"a": 1.5}, TypeError, "facts['a'] is a str or an int"),
    ({"a": True}, TypeError, "facts['a'] is a str or an int"),
    ({"a": b"x"}, TypeError, "facts['a'] is a str or an int"),
    ({"a": "\ud800"}, ValueError, "facts['a'] holds a NUL or half a character"),
    ({"a": "x\0y"}, ValueError, "facts['a'] holds a NUL"),
    ({"a": "x" * 1_000_000}, ValueError, "facts['a'] has 0 to 10000"),
    ({"a": "x" * 9_000, "b": "x" * 9_000}, ValueError, "facts has 10000 characters at most"),
    ({"a": 10**5000}, ValueError, "facts['a'] has 1024 bits"),
    ({"a": -(10**5000)}, ValueError, "facts['a'] has 1024 bits"),
]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("facts", "error", "words"), FACTS)
def test_facts_say_what_to_pass(facts, error, words):
    with pytest.raises(error, match=re.escape(words)):
        issue(purpose="order", facts=facts)
    assert nothing_was_written()


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("name", sorted(rendering.RESERVED))
@pytest.mark.parametrize("given", ["facts", "context"])
def test_name_that_a_template_knows_as_something_else_is_refused(given, name):
    with pytest.raises(ValueError, match=f"{given} has .*'{name}'.*rename"):
        issue(purpose="order", **{given: {name: "shown", "payee": "Bob"}})
    assert nothing_was_written()


@pytest.mark.usefixtures("orders")
def test_one_name_is_not_a_fact_and_a_context():
    with pytest.raises(ValueError, match="both have"):
        issue(purpose="order", facts={"amount": 1}, context={"amount": "2"})


# Several at once

ALICE = To(owner="alice", recipient="alice@example.org")


@pytest.mark.parametrize(
    ("to", "error", "words"),
    [
        ("x", TypeError, "to is a list of To, not str"),
        (None, TypeError, "to is a list of To, not NoneType"),
        (ALICE, TypeError, "to is a list of To, not To"),
        (iter([]), TypeError, "to is a list of To"),
        ({"alice": "alice@example.org"}, TypeError, "to is a list of To"),
        ([("alice", "alice@example.org")], TypeError, "to[0] is a To, not tuple"),
        ([ALICE, None], TypeError, "to[1] is a To, not NoneType"),
        ([], ValueError, "to names nobody"),
        ((), ValueError, "to names nobody"),
        ([To(owner=None, recipient="a@example.org")], TypeError, "owner is a str"),
    ],
)
def test_to_says_what_to_pass(to, error, words):
    with pytest.raises(error, match=re.escape(words)):
        challenges.issue_many("sign-in", to)
    assert nothing_was_written()


# What is done with a right code


@pytest.mark.parametrize("value", ["false", None, 0, 1, "True", []])
def test_consume_is_yes_or_no(value):
    issued = issue()
    with pytest.raises(TypeError, match="consume is True or False"):
        challenges.verify("sign-in", issued.challenge_id, "1", owner="alice", consume=value)


@pytest.mark.parametrize("value", ["x", 7, True, False, {}])
def test_confirmed_is_a_function(value):
    issued = issue()
    code = live_code(issued.challenge_id)
    with pytest.raises(TypeError, match="confirmed is a function"):
        challenges.verify("sign-in", issued.challenge_id, code, owner="alice", confirmed=value)
    assert Challenge.objects.get().state == "pending"


def test_context_has_an_end():
    assert isinstance(issue(context={"a": "x" * 9_999}), Issued)
    with pytest.raises(ValueError, match="10000 characters"):
        issue(context={"a": "x" * 10_000})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=40))
def test_any_text_of_a_context_is_kept_as_a_line(text):
    issued = issue(context={"payee": text}, owner=f"s{uuid4()}")
    kept = Challenge.objects.get(pk=issued.challenge_id).context["payee"]
    assert kept == one_line.one_line(text)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=110), st.text(st.characters(), max_size=60))
def test_any_other_text_is_good_or_refused_by_us(owner, purpose):
    try:
        issued = issue(owner=owner, purpose=purpose)
    except ValueError as refused:
        assert "characters" in str(refused) or "NUL" in str(refused)  # noqa: PT017
        return
    code = live_code(issued.challenge_id)
    result = challenges.verify(purpose, issued.challenge_id, code, owner=owner)
    assert type(result).__name__ == "Verified"
