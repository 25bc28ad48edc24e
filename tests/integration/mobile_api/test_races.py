"""However requests race, money is neither made nor lost, and a code is good once."""

import pytest
from django.db.models import Sum

from mobile_api.models import Account, Entry, Transfer
from tests.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def books_balance():
    """The ledger adds up to nought, and says the same as the balances."""
    accounts = Account.objects.annotate(booked=Sum("entries__amount_minor"))
    assert all(account.balance_minor == (account.booked or 0) for account in accounts)
    return sum(account.balance_minor for account in accounts) == 0


def confirm(phone, transfer, code):
    path = f"transfers/{transfer['id']}/confirm"
    return lambda: phone.send(path, {"code": code}).status_code


def test_of_two_right_codes_at_once_one_wins(alice, bob):
    transfer = alice.transfer(bob)
    call = confirm(alice, transfer, alice.code(transfer))
    assert sorted(at_once(call, call)) == [200, 409]
    assert (alice.balance(), bob.balance()) == (8750, 11_250)
    assert books_balance()


def test_eight_transfers_racing_for_one_balance_never_overdraw_it(alice, bob):
    transfers = [alice.transfer(bob, 3_000) for _ in range(8)]
    calls = [confirm(alice, transfer, alice.code(transfer)) for transfer in transfers]
    assert sorted(at_once(*calls)) == [200] * 3 + [409] * 5
    assert (alice.balance(), bob.balance()) == (1_000, 19_000)
    states = list(Transfer.objects.filter(payer__member=alice.member).values_list("state"))
    assert sorted(states) == [("confirmed",)] * 3 + [("rejected",)] * 5
    assert books_balance()


def test_transfers_that_cross_do_not_deadlock(alice, bob):
    pairs = [(alice, alice.transfer(bob, 10)) for _ in range(4)]
    pairs += [(bob, bob.transfer(alice, 10)) for _ in range(4)]
    calls = [confirm(phone, transfer, phone.code(transfer)) for phone, transfer in pairs]
    assert at_once(*calls) == [200] * 8
    assert (alice.balance(), bob.balance()) == (10_000, 10_000)
    assert books_balance()


def test_a_cancel_and_a_right_code_at_once_end_it_in_one_way(alice, bob):
    transfer = alice.transfer(bob)
    confirmed, cancelled = at_once(
        confirm(alice, transfer, alice.code(transfer)),
        lambda: alice.send(f"transfers/{transfer['id']}/cancel").status_code,
    )
    state = alice.get(f"transfers/{transfer['id']}")["state"]
    assert (confirmed, cancelled, state) in {(200, 409, "confirmed"), (410, 200, "cancelled")}
    assert bob.balance() == (11_250 if state == "confirmed" else 10_000)
    assert books_balance()


def test_eight_wrong_codes_at_once_get_no_sixth_guess(alice, bob):
    transfer = alice.transfer(bob)
    wrong = alice.wrong_code(transfer)
    statuses = at_once(*[confirm(alice, transfer, wrong)] * 8)
    assert set(statuses) <= {410, 422}
    assert statuses.count(422) <= 4
    assert alice.get(f"transfers/{transfer['id']}")["guesses_left"] == 0
    assert alice.get(f"transfers/{transfer['id']}")["reason"] == "exhausted"
    assert Entry.objects.filter(transfer=transfer["id"]).count() == 0
