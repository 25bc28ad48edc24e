"""Whatever comes in, a person can understand the answer, and no money moves."""

import json
import uuid

import pytest

from mobile_api.models import Account, Transfer
from otpmail.models import Challenge

pytestmark = pytest.mark.django_db

JSON = "application/json"
TRANSFERS, CONFIRM = "transfers", "transfers/{id}/confirm"
INVALID, MALFORMED = (422, "invalid-request"), (400, "malformed-request")


def wish(**changes):
    """A good body with some members changed; one that is None is left out."""
    body = {
        "payer_account": "10-1001",
        "payee_account": "10-1002",
        "amount_minor": 1,
        "currency": "EUR",
    } | changes
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def amount(text):
    """A good body with this amount, written just so."""
    return wish(amount_minor="@").replace(b'"@"', text)


def code(value):
    return json.dumps({"code": value}).encode()


NESTED = b"[" * 30_000 + b"]" * 30_000
CASES = {
    # what is no JSON object
    "no body": (TRANSFERS, b"", INVALID),
    "no JSON": (TRANSFERS, b"payee=bob", MALFORMED),
    "half a JSON": (TRANSFERS, wish()[:-5], MALFORMED),
    "bytes that are no UTF-8": (TRANSFERS, b'{"memo": "\xff\xfe"}', MALFORMED),
    "UTF-16": (TRANSFERS, wish().decode().encode("utf-16"), None),
    "a NUL": (TRANSFERS, b"\0", MALFORMED),
    "null": (TRANSFERS, b"null", INVALID),
    "a number": (TRANSFERS, b"1", INVALID),
    "a list": (TRANSFERS, b"[]", INVALID),
    "deep nesting": (TRANSFERS, NESTED, MALFORMED),
    "deep nesting inside": (TRANSFERS, wish(memo="@").replace(b'"@"', NESTED), MALFORMED),
    "1 MB": (TRANSFERS, wish(memo="x" * 1_000_000), (413, "too-large")),
    # members
    "nothing in it": (TRANSFERS, b"{}", INVALID),
    "an unknown member": (TRANSFERS, wish(ammount_minor=5), INVALID),
    "an unknown member of odd name": (TRANSFERS, wish(**{"\0\ud800\n" * 99: 5}), INVALID),
    "a thousand unknown members": (
        TRANSFERS,
        wish(**dict.fromkeys(map(str, range(1000)), 1)),
        INVALID,
    ),
    # amounts
    "no amount": (TRANSFERS, wish(amount_minor=None), INVALID),
    "a null amount": (TRANSFERS, amount(b"null"), INVALID),
    "nought": (TRANSFERS, amount(b"0"), INVALID),
    "a negative amount": (TRANSFERS, amount(b"-1"), INVALID),
    "a fraction": (TRANSFERS, amount(b"1.5"), INVALID),
    "a whole float": (TRANSFERS, amount(b"1.0"), INVALID),
    "an exponent": (TRANSFERS, amount(b"1e3"), INVALID),
    "an amount as text": (TRANSFERS, amount(b'"1"'), INVALID),
    "true": (TRANSFERS, amount(b"true"), INVALID),
    "not a number": (TRANSFERS, amount(b"NaN"), INVALID),
    "infinity": (TRANSFERS, amount(b"Infinity"), INVALID),
    "minus infinity": (TRANSFERS, amount(b"-1e999"), INVALID),
    "above the largest transfer": (TRANSFERS, amount(b"1000000000000"), INVALID),
    "beyond BIGINT": (TRANSFERS, amount(b"9223372036854775808"), INVALID),
    "below BIGINT": (TRANSFERS, amount(b"-9223372036854775809"), INVALID),
    "a number of 4000 digits": (TRANSFERS, amount(b"9" * 4000), INVALID),
    "a number of 5000 digits": (TRANSFERS, amount(b"9" * 5000), MALFORMED),
    "an amount as object": (TRANSFERS, amount(b'{"minor": 1}'), INVALID),
    "more than there is": (TRANSFERS, wish(amount_minor=10_001), (422, "insufficient-funds")),
    "all that can be written": (TRANSFERS, amount(b"999999999999"), (422, "insufficient-funds")),
    # accounts
    "no payee": (TRANSFERS, wish(payee_account=None), INVALID),
    "an empty payee": (TRANSFERS, wish(payee_account=""), INVALID),
    "a long payee": (TRANSFERS, wish(payee_account="1" * 21), INVALID),
    "a payee as number": (TRANSFERS, wish(payee_account=101002), INVALID),
    "a payee as list": (TRANSFERS, wish(payee_account=["10-1002"]), INVALID),
    "an unknown payee": (TRANSFERS, wish(payee_account="10-9999"), (422, "payee-unknown")),
    "a payee with SQL": (TRANSFERS, wish(payee_account="' OR 1=1 --"), (422, "payee-unknown")),
    "a payee with a NUL": (TRANSFERS, wish(payee_account="10-1002\0"), INVALID),
    "a payee with a newline": (TRANSFERS, wish(payee_account="10-1002\n"), INVALID),
    "a payee with half a character": (TRANSFERS, wish(payee_account="\ud800"), INVALID),
    "the payer as payee": (TRANSFERS, wish(payee_account="10-1001"), (422, "same-account")),
    "another's account": (TRANSFERS, wish(payer_account="10-1002"), (422, "payer-unknown")),
    "the cooperative's account": (TRANSFERS, wish(payer_account="00-1"), (422, "payer-unknown")),
    "an unknown payer": (TRANSFERS, wish(payer_account="10-9999"), (422, "payer-unknown")),
    # currencies
    "another currency": (TRANSFERS, wish(currency="USD"), (422, "other-currency")),
    "a payee of another currency": (
        TRANSFERS,
        wish(payee_account="10-1004"),
        (422, "other-currency"),
    ),
    "both of another currency": (
        TRANSFERS,
        wish(payee_account="10-1004", currency="USD"),
        (422, "other-currency"),
    ),
    "a small currency": (TRANSFERS, wish(currency="eur"), INVALID),
    "a currency with a newline": (TRANSFERS, wish(currency="EUR\n"), INVALID),
    "a currency of other letters": (TRANSFERS, wish(currency="ЕUR"), INVALID),  # noqa: RUF001
    # memos
    "a memo with a newline": (TRANSFERS, wish(memo="a\nTo: Mallory"), INVALID),
    "a memo with a NUL": (TRANSFERS, wish(memo="a\0b"), INVALID),
    "a memo with an escape": (TRANSFERS, wish(memo="\x1b[31m"), INVALID),
    "a memo with a line separator": (TRANSFERS, wish(memo="a\u2028b"), INVALID),
    "a memo with half a character": (TRANSFERS, wish(memo="\udfff"), INVALID),
    "a long memo": (TRANSFERS, wish(memo="x" * 141), INVALID),
    "a memo as object": (TRANSFERS, wish(memo={"a": 1}), INVALID),
    "a null memo": (TRANSFERS, wish(memo="@").replace(b'"@"', b"null"), INVALID),
    # codes
    "no code": (CONFIRM, b"{}", INVALID),
    "no body for a code": (CONFIRM, b"", INVALID),
    "a code as number": (CONFIRM, code(123456), INVALID),
    "a null code": (CONFIRM, code(None), INVALID),
    "a code as list": (CONFIRM, code(["123456"]), INVALID),
    "an empty code": (CONFIRM, code(""), (400, "otp/malformed")),
    "letters": (CONFIRM, code("abcdef"), (400, "otp/malformed")),
    "five digits": (CONFIRM, code("12345"), (400, "otp/malformed")),
    "seven digits": (CONFIRM, code("1234567"), (400, "otp/malformed")),
    "a negative code": (CONFIRM, code("-1.5e3"), (400, "otp/malformed")),
    "superscripts and fractions": (CONFIRM, code("½²③④⑤六"), (400, "otp/malformed")),
    "a code of NULs": (CONFIRM, code("\0" * 6), (400, "otp/malformed")),
    "a code with half a character": (CONFIRM, code("12345\ud800"), INVALID),
    "60 KB of code": (CONFIRM, code("1" * 60_000), (400, "otp/malformed")),
    "1 MB of code": (CONFIRM, code("1" * 1_000_000), (413, "too-large")),
    # sign-in
    "nobody": ("sign-in", b"{}", INVALID),
    "a member number as number": ("sign-in", b'{"member_number": 1001, "pin": "2468"}', INVALID),
    "a PIN with a NUL": ("sign-in", b'{"member_number": "1001", "pin": "24\\u0000"}', INVALID),
    "a member number with a newline": (
        "sign-in",
        b'{"member_number": "1001\\n", "pin": "1"}',
        INVALID,
    ),
    "a member number with SQL": (
        "sign-in",
        b'{"member_number": "1\' OR \'1\'=\'1", "pin": "1"}',
        (401, "sign-in-failed"),
    ),
    "a PIN of 60 KB": (
        "sign-in",
        json.dumps({"member_number": "1001", "pin": "1" * 60_000}).encode(),
        INVALID,
    ),
}


@pytest.fixture
def pending(alice, bob, join):
    """A transfer that waits for its code, beside an account in another currency."""
    join("Carol", "1004", 0, currency="USD")
    return alice.transfer(bob, 1)


def state_of_things():
    accounts = list(Account.objects.order_by("pk").values_list("balance_minor", flat=True))
    challenges = list(Challenge.objects.values_list("state", "failures"))
    return accounts, challenges, list(Transfer.objects.values_list("state"))


def assert_understandable(response, expected=None):
    problem = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert 400 <= response.status_code < 500
    assert problem["status"] == response.status_code
    assert problem["detail"].endswith((".", ")."))
    assert " " in problem["detail"]
    assert problem["next"].endswith(".")
    assert len(response.content) < 4_000
    if expected is not None:
        assert (problem["status"], problem["type"]) == (expected[0], f"/problems/{expected[1]}")


@pytest.mark.parametrize("case", CASES)
def test_bad_bodies_are_refused_in_words(alice, pending, case):
    path, body, expected = CASES[case]
    before = state_of_things()
    headers = {"authorization": f"Bearer {alice.token}", "idempotency-key": str(uuid.uuid4())}
    url = "/api/v1/" + path.format(id=pending["id"])
    response = alice.client.generic("POST", url, body, JSON, headers=headers)
    if case == "UTF-16":  # JSON in UTF-16 can be read, so it is
        assert response.status_code == 201
        return
    assert_understandable(response, expected)
    assert state_of_things() == before


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a\tb", "ключ", "é", "x" * 101, '"quoted text"', "a\x7f"]
)
def test_bad_keys_are_refused_in_words(alice, pending, key):
    before = state_of_things()
    headers = {"authorization": f"Bearer {alice.token}", "idempotency-key": key}
    response = alice.client.post("/api/v1/transfers", wish(), JSON, headers=headers)
    assert_understandable(response, (400, "idempotency-key"))
    assert state_of_things() == before


def test_a_key_is_asked_for(alice, pending):
    response = alice.send("transfers", json.loads(wish()))
    assert_understandable(response, (400, "idempotency-key"))


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "\0", "é"])
def test_a_body_that_is_not_sent_as_json_is_refused_in_words(alice, pending, kind):
    headers = {"authorization": f"Bearer {alice.token}", "idempotency-key": "one"}
    response = alice.client.generic("POST", "/api/v1/transfers", wish(), kind, headers=headers)
    assert_understandable(response, (415, "unsupported-media-type"))


def test_json_may_tell_its_charset(alice, pending):
    headers = {"authorization": f"Bearer {alice.token}", "idempotency-key": "one"}
    kind = "application/json; charset=utf-8"
    response = alice.client.generic("POST", "/api/v1/transfers", wish(), kind, headers=headers)
    assert response.status_code == 201


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "9" * 5000, "65537"])
def test_a_bad_length_is_refused_in_words(alice, length):
    response = alice.client.generic("POST", "/api/v1/sign-in", b"{}", JSON, CONTENT_LENGTH=length)
    assert_understandable(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("POST", "/api/v1/transfers/", 404),
        ("GET", "/api/v1/transfers/%00/", 404),
        ("GET", "/api/v1/transfers/%00", 404),
        ("GET", "/api/v1/transfers/%ff%fe", 404),
        ("GET", "/api/v1/transfers/" + "1" * 5000, 404),
        ("GET", "/api/v1/transfers/../../etc/passwd", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/api/v1/sign-in", 405),
        ("PUT", "/api/v1/transfers", 405),
        ("DELETE", "/api/v1/me", 405),
        ("TRACE", "/api/v1/me", 405),
        ("FOO", "/api/v1/me", 405),
    ],
)
def test_what_is_not_there_is_told_in_words(alice, method, path, status):
    headers = {"authorization": f"Bearer {alice.token}"}
    response = alice.client.generic(method, path, headers=headers)
    assert_understandable(response)
    assert response.status_code == status
    assert ("Allow" in response.headers) == (status == 405)


def test_an_unknown_host_is_refused_in_words(alice):
    response = alice.client.get("/api/v1/me", headers={"host": "mallory.example"})
    assert_understandable(response, MALFORMED)


def test_a_body_in_chunks_is_refused_in_words(alice):
    headers = {"transfer-encoding": "chunked"}
    response = alice.client.generic("POST", "/api/v1/sign-in", b"", JSON, headers=headers)
    assert_understandable(response, (411, "length-required"))
