"""Money moves when the mailed code is typed, once, and in no other way."""

from functools import partial

import pytest
from django.core import mail
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mobile_api.models import Entry, IdempotencyKey, Transfer
from otpmail.challenges import mail_progress
from otpmail.models import Challenge, Delivery

pytestmark = pytest.mark.django_db(transaction=True)


def challenges_of(transfer):
    return Challenge.objects.filter(pk=Transfer.objects.get(pk=transfer["id"]).challenge_id)


@pytest.fixture
def age(pass_time):
    """Let seconds pass for a transfer's code."""
    return lambda transfer, seconds: pass_time(challenges_of(transfer).get().pk, seconds)


def test_the_right_code_moves_the_money_once(alice, bob):
    transfer = alice.transfer(bob, 1250, memo="Potatoes")
    assert (alice.balance(), bob.balance()) == (10_000, 10_000)
    confirmed = alice.confirm(transfer, alice.code(transfer))
    assert confirmed["state"] == "confirmed"
    assert confirmed["receipt"]["amount_minor"] == 1250
    assert confirmed["receipt"]["proof"].startswith("2.secret-key-")
    assert (alice.balance(), bob.balance()) == (8750, 11_250)
    again = alice.confirm(transfer, alice.code(transfer), status=409)
    assert again["type"] == "/problems/otp/already-used"
    assert again["confirmed_at"] == confirmed["receipt"]["confirmed_at"]
    assert (alice.balance(), bob.balance()) == (8750, 11_250)


def test_a_started_transfer_tells_where_it_is_and_when_what_can_be_done(alice, bob):
    response = alice.send("transfers", alice.wish(bob), key="one")
    transfer = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/v1/transfers/{transfer['id']}"
    assert transfer["recipient"] == "a***@example.org"
    assert (transfer["digits"], transfer["guesses_left"]) == (6, 5)
    assert transfer["delivery"]["state"] == "queued"
    assert transfer["created_at"] <= transfer["resend_at"] < transfer["expires_at"]


def test_the_delivery_is_told_afterwards(alice, bob):
    started = alice.transfer(bob)
    now = alice.get(f"transfers/{started['id']}")
    delivery = now.pop("delivery")
    assert now == {name: value for name, value in started.items() if name != "delivery"}
    assert (delivery["state"], delivery["rounds"]) == ("accepted", 1)
    assert delivery["took_ms"] >= 0


def test_a_purged_challenge_leaves_the_transfer_readable(alice, bob):
    transfer = alice.transfer(bob)
    alice.confirm(transfer, alice.code(transfer))
    challenges_of(transfer).delete()
    shown = alice.get(f"transfers/{transfer['id']}")
    assert (shown["state"], shown["delivery"], shown["reference"]) == ("confirmed", None, None)


def test_a_wrong_code_spends_a_guess_and_moves_nothing(alice, bob):
    transfer = alice.transfer(bob)
    problem = alice.confirm(transfer, alice.wrong_code(transfer), status=422)
    assert (problem["type"], problem["guesses_left"]) == ("/problems/otp/incorrect", 4)
    assert alice.get(f"transfers/{transfer['id']}")["guesses_left"] == 4
    assert alice.balance() == 10_000


def test_what_is_no_code_spends_no_guess(alice, bob):
    transfer = alice.transfer(bob)
    problem = alice.confirm(transfer, "abc", status=400)
    assert problem["type"] == "/problems/otp/malformed"
    assert alice.get(f"transfers/{transfer['id']}")["guesses_left"] == 5


def test_the_fifth_wrong_code_cancels_the_transfer(alice, bob):
    transfer = alice.transfer(bob)
    wrong = alice.wrong_code(transfer)
    for _ in range(4):
        alice.confirm(transfer, wrong, status=422)
    assert alice.confirm(transfer, wrong, status=410)["type"] == "/problems/otp/exhausted"
    assert alice.confirm(transfer, alice.code(transfer), status=410)["can_resend"] is False
    shown = alice.get(f"transfers/{transfer['id']}")
    assert (shown["state"], shown["reason"]) == ("cancelled", "exhausted")
    assert alice.balance() == 10_000


def test_an_expired_code_can_be_had_anew(alice, bob, age):
    transfer = alice.transfer(bob)
    stale = alice.code(transfer)
    age(transfer, 11 * 60)
    problem = alice.confirm(transfer, stale, status=410)
    assert (problem["type"], problem["can_resend"]) == ("/problems/otp/expired", True)
    assert alice.post(f"transfers/{transfer['id']}/code", status=202)["generation"] == 2
    assert alice.code(transfer) != stale
    alice.confirm(transfer, alice.code(transfer))
    assert bob.balance() == 11_250


def test_after_the_whole_life_no_new_code_can_be_had(alice, bob, age):
    transfer = alice.transfer(bob)
    age(transfer, 31 * 60)
    assert alice.confirm(transfer, "123456", status=410)["can_resend"] is False
    assert alice.post(f"transfers/{transfer['id']}/code", status=410)["type"].endswith("expired")


def test_a_cancelled_transfer_takes_no_code(alice, bob):
    transfer = alice.transfer(bob)
    assert alice.post(f"transfers/{transfer['id']}/cancel") == {"state": "cancelled"}
    problem = alice.confirm(transfer, alice.code(transfer), status=410)
    assert problem["type"] == "/problems/otp/cancelled"
    again = alice.post(f"transfers/{transfer['id']}/cancel", status=410)
    assert again["type"] == "/problems/otp/cancelled"
    assert alice.get(f"transfers/{transfer['id']}")["reason"] == "cancelled"
    assert alice.balance() == 10_000


def test_a_confirmed_transfer_cannot_be_cancelled(alice, bob):
    transfer = alice.transfer(bob)
    alice.confirm(transfer, alice.code(transfer))
    problem = alice.post(f"transfers/{transfer['id']}/cancel", status=409)
    assert problem["type"] == "/problems/otp/already-used"
    assert alice.get(f"transfers/{transfer['id']}")["state"] == "confirmed"


@pytest.mark.parametrize("change", ["amount_minor", "payee"])
def test_a_changed_transfer_is_cancelled_before_the_code_is_looked_at(alice, bob, mallory, change):
    transfer = alice.transfer(bob)
    values = {"amount_minor": 9_999, "payee": mallory.member.account_set.get()}
    Transfer.objects.filter(pk=transfer["id"]).update(**{change: values[change]})
    problem = alice.confirm(transfer, alice.code(transfer), status=409)
    assert problem["type"] == "/problems/otp/transaction-changed"
    shown = alice.get(f"transfers/{transfer['id']}")
    assert (shown["state"], shown["reason"]) == ("cancelled", "changed")
    assert (alice.balance(), mallory.balance()) == (10_000, 10_000)


def test_when_the_money_is_gone_the_right_code_ends_as_rejected(alice, bob):
    first, second = alice.transfer(bob, 9_000), alice.transfer(bob, 9_000)
    alice.confirm(first, alice.code(first))
    for _ in range(2):  # the code is used, and the answer stays true
        problem = alice.confirm(second, alice.code(second), status=409)
        assert problem["type"] == "/problems/transfer-rejected"
    shown = alice.get(f"transfers/{second['id']}")
    assert (shown["state"], shown["reason"]) == ("rejected", "insufficient-funds")
    assert (alice.balance(), bob.balance()) == (1_000, 19_000)


def test_a_resend_waits_for_the_cool_down(alice, bob, age):
    transfer = alice.transfer(bob)
    path = f"transfers/{transfer['id']}/code"
    response = alice.send(path)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    assert response.json()["type"] == "/problems/otp/resend-too-soon"
    assert response.json()["retry_at"] == transfer["resend_at"]
    age(transfer, 61)
    resent = alice.post(path, status=202)
    assert (resent["generation"], resent["sends_left"]) == (1, 1)
    assert len(mail.outbox) == 2


def test_a_resend_over_the_cap_is_refused(alice, bob):
    transfer = alice.transfer(bob)
    challenges_of(transfer).update(sends=3, resend_at=timezone.now())
    response = alice.send(f"transfers/{transfer['id']}/code")
    assert (response.status_code, response.json()["type"]) == (429, "/problems/otp/rate-limited")
    assert int(response["Retry-After"]) > 60


@pytest.mark.parametrize("path", ["", "/confirm", "/code", "/cancel"])
def test_transfer_of_another_member_looks_like_none(alice, bob, mallory, path):
    transfer = alice.transfer(bob)
    body = {"code": alice.code(transfer)} if path == "/confirm" else None
    answers = []
    for transfer_id in (transfer["id"], "01890000-0000-7000-8000-000000000000", "x"):
        url = f"transfers/{transfer_id}{path}"
        ask = partial(mallory.post, url, body) if path else partial(mallory.get, url)
        answers.append(ask(status=404))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["type"] == "/problems/otp/not-found"
    shown = alice.get(f"transfers/{transfer['id']}")
    assert (shown["state"], shown["guesses_left"]) == ("pending", 5)


def test_the_payee_does_not_see_the_transfer(alice, bob):
    transfer = alice.transfer(bob)
    bob.get(f"transfers/{transfer['id']}", status=404)


def test_an_address_that_takes_no_mail_is_told_and_nothing_is_written(alice, bob):
    alice.member.email = "alice"
    alice.member.save()
    problem = alice.post("transfers", alice.wish(bob), status=422, key="one")
    assert problem["type"] == "/problems/address-unusable"
    assert not Challenge.objects.exists()
    assert not IdempotencyKey.objects.exists()


READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": (
        "SET default_transaction_read_only = on",
        "SET default_transaction_read_only = off",
    ),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@pytest.fixture
def read_only():
    """A database that takes no writes."""
    close, reopen = READ_ONLY[connection.vendor]

    def switch():
        with connection.cursor() as cursor:
            cursor.execute(close)

    yield switch
    with connection.cursor() as cursor:
        cursor.execute(reopen)


def test_a_promise_that_cannot_be_written_down_is_not_made(alice, bob, read_only):
    before = Transfer.objects.count()
    read_only()
    response = alice.send("transfers", alice.wish(bob), key="one")
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/otp/delivery-unavailable"
    assert int(response["Retry-After"]) > 0
    assert (Transfer.objects.count(), Delivery.objects.count(), len(mail.outbox)) == (before, 0, 0)


def test_a_database_that_takes_no_writes_is_unavailable_to_sign_out(alice, read_only):
    read_only()
    assert alice.post("sign-out", status=503)["type"] == "/problems/unavailable"


def test_a_key_that_is_not_here_is_unavailable_and_costs_no_guess(alice, bob, settings):
    transfer = alice.transfer(bob)
    code, newer = alice.code(transfer), settings.SECRET_KEY
    settings.SECRET_KEY = "of a process that was not deployed yet, and knows no newer one"
    for _ in range(6):
        response = alice.send(f"transfers/{transfer['id']}/confirm", {"code": code})
        assert response.status_code == 503
        assert response.json()["type"] == "/problems/unavailable"
        assert int(response["Retry-After"]) > 0
    Challenge.objects.update(resend_at=F("created_at"))
    response = alice.send(f"transfers/{transfer['id']}/code")
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/otp/delivery-unavailable"
    assert int(response["Retry-After"]) > 0
    settings.SECRET_KEY = newer
    assert alice.confirm(transfer, code)["state"] == "confirmed"


def test_starting_a_transfer_takes_few_queries(alice, bob, settings):
    for cap in ("OTPMAIL_RECIPIENT_QUOTA", "OTPMAIL_CLIENT_QUOTA"):
        delattr(settings, cap)
    alice.transfer(bob)  # makes the counters
    mail_progress._was_slow.cache_clear()  # two of them are asked once a second and not each time
    with CaptureQueriesContext(connection) as captured:
        alice.transfer(bob)
    queries = [query["sql"] for query in captured.captured_queries]
    promised = queries[: queries.index("COMMIT") + 1]  # what follows is the courier's
    clocks = ("SELECT clock_timestamp()", "SELECT UTC_TIMESTAMP(6)")
    ours = [query for query in promised if query not in clocks]
    transaction_and_savepoint = 4
    code = 6 if connection.vendor == "postgresql" else 8
    of_the_kiosk, is_slow = 5, 2
    assert len(ours) == of_the_kiosk + code + is_slow + transaction_and_savepoint, "\n".join(ours)


def test_a_ledger_entry_stands_for_each_side(alice, bob):
    transfer = alice.transfer(bob)
    alice.confirm(transfer, alice.code(transfer))
    lines = Entry.objects.filter(transfer=transfer["id"]).order_by("amount_minor")
    assert [(line.account.number, line.amount_minor) for line in lines] == [
        (alice.account, -1250),
        (bob.account, 1250),
    ]
