"""What a call is given is looked at first, and alike on every database."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otpmail import challenges
from otpmail.addresses.requester import Client
from otpmail.display import one_line
from otpmail.models import AuditEntry, Challenge, Counter, Delivery
from otpmail.results import InvalidAddress, Issued, Malformed, NotFound
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)

NAMED = {"purpose": "sign-in", "subject": "alice", "recipient": "alice@example.org"}
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
@pytest.mark.parametrize("name", ["purpose", "subject"])
def test_what_is_no_text_says_what_to_pass(door, name):
    values = NO_TEXT if name == "purpose" and door in ("open", "cancel_all") else [None, *NO_TEXT]
    for value in values:
        with pytest.raises(TypeError, match=f"^{name} is a str, not {type(value).__name__}$"):
            DOORS[door](**{"purpose": "sign-in", "subject": "alice"} | {name: value})
    assert nothing_was_written()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "most"), [("purpose", 50), ("subject", 100)])
def test_what_no_column_holds_says_why(door, name, most):
    for value in [*UNFIT, "x" * (most + 1)]:
        with pytest.raises(ValueError, match=f"^{name} h"):
            DOORS[door](**{"purpose": "sign-in", "subject": "alice"} | {name: value})
    assert nothing_was_written()


@pytest.mark.parametrize("door", ["issue", "resend", "verify", "cancel", "cancel_all"])
@pytest.mark.parametrize("client", [None, "192.0.2.1", {}])
def test_who_asks_is_a_client(door, client):
    with pytest.raises(TypeError, match=r"otpmail\.clients\.Client"):
        DOORS[door]("sign-in", subject="alice", client=client)


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
    result = challenges.verify(value, issued.challenge_id, code, subject="alice")
    assert type(result).__name__ == "Verified"


@pytest.mark.parametrize("value", ["\U0001f511" * 100, " alice ", "a\nb", "'; --"])
def test_longest_and_strangest_subjects_are_good(value):
    issued = issue(subject=value)
    code = live_code(issued.challenge_id)
    result = challenges.verify("sign-in", issued.challenge_id, code, subject=value)
    assert type(result).__name__ == "Verified"


# What a person sends is answered


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_what_is_no_id_is_not_found(junk):
    assert challenges.verify("sign-in", junk, "123456", subject="alice") == NotFound()
    assert challenges.resend("sign-in", junk, subject="alice") == NotFound()
    assert challenges.cancel("sign-in", junk, subject="alice") == NotFound()
    assert challenges.status("sign-in", junk, subject="alice") == NotFound()


def test_id_is_found_as_it_is_written():
    issued = issue()
    for form in (str, lambda pk: str(pk).upper(), lambda pk: pk.hex, lambda pk: f"{{{pk}}}"):
        told = challenges.status("sign-in", form(issued.challenge_id), subject="alice")
        assert told.reference == issued.reference


@pytest.mark.parametrize("junk", [*JUNK, 123456, 1.5, ["1"]], ids=lambda junk: type(junk).__name__)
def test_what_is_no_code_is_malformed_and_free(junk):
    issued = issue()
    result = challenges.verify("sign-in", issued.challenge_id, junk, subject="alice")
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


def test_context_has_an_end():
    assert isinstance(issue(context={"a": "x" * 9_999}), Issued)
    with pytest.raises(ValueError, match="10000 characters"):
        issue(context={"a": "x" * 10_000})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=40))
def test_any_text_of_a_context_is_kept_as_a_line(text):
    issued = issue(context={"payee": text}, subject=f"s{uuid4()}")
    kept = Challenge.objects.get(pk=issued.challenge_id).context["payee"]
    assert kept == one_line.one_line(text)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=110), st.text(st.characters(), max_size=60))
def test_any_other_text_is_good_or_refused_by_us(subject, purpose):
    try:
        issued = issue(subject=subject, purpose=purpose)
    except ValueError as refused:
        assert "characters" in str(refused) or "NUL" in str(refused)  # noqa: PT017
        return
    code = live_code(issued.challenge_id)
    result = challenges.verify(purpose, issued.challenge_id, code, subject=subject)
    assert type(result).__name__ == "Verified"
