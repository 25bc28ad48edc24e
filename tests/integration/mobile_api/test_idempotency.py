"""A request that is repeated under its key gets the first one's answer, and does nothing twice."""

import hashlib

import pytest
from django.core import mail

from mobile_api.models import IdempotencyKey, Transfer
from tests.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def started(member):
    return Transfer.objects.filter(payer__member=member.member)


def test_the_same_key_and_body_get_the_same_answer_to_the_byte(alice, bob):
    first, second = (alice.send("transfers", alice.wish(bob), key="one") for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first["Location"] == second["Location"]
    assert (started(alice).count(), len(mail.outbox)) == (1, 1)


def test_the_stored_answer_outlives_the_reasons_for_it(alice, bob):
    transfer = alice.post("transfers", alice.wish(bob, 10_000), status=201, key="one")
    alice.confirm(transfer, alice.code(transfer))
    assert alice.post("transfers", alice.wish(bob, 10_000), status=201, key="one") == transfer


def test_the_stored_answer_outlives_a_rotation_of_the_secret_key(alice, bob, settings):
    transfer = alice.post("transfers", alice.wish(bob), status=201, key="one")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert alice.post("transfers", alice.wish(bob), status=201, key="one") == transfer
    alice.post("transfers", alice.wish(bob, 1251), status=422, key="one")


def test_the_same_key_with_another_body_is_refused(alice, bob):
    alice.post("transfers", alice.wish(bob), status=201, key="one")
    problem = alice.post("transfers", alice.wish(bob, 1251), status=422, key="one")
    assert problem["type"] == "/problems/idempotency-mismatch"
    assert started(alice).count() == 1


def test_a_key_belongs_to_one_address(alice, bob):
    transfer = alice.post("transfers", alice.wish(bob), status=201, key="one")
    problem = alice.confirm(transfer, alice.code(transfer), status=422, key="one")
    assert problem["type"] == "/problems/idempotency-mismatch"


def test_each_member_has_keys_of_their_own(alice, bob, mallory):
    alice.post("transfers", alice.wish(bob), status=201, key="one")
    mallory.post("transfers", mallory.wish(bob), status=201, key="one")
    assert (started(alice).count(), started(mallory).count()) == (1, 1)


def test_a_refused_request_leaves_its_key_free(alice, bob):
    alice.post("transfers", alice.wish(bob, 10_001), status=422, key="one")
    alice.post("transfers", alice.wish(bob, 10_000), status=201, key="one")


def test_of_eight_at_once_one_transfer_is_made(alice, bob):
    answers = at_once(*[lambda: alice.send("transfers", alice.wish(bob), key="one")] * 8)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert (started(alice).count(), len(mail.outbox)) == (1, 1)


def test_two_equal_confirms_at_once_get_the_same_answer(alice, bob):
    transfer = alice.transfer(bob)
    code = alice.code(transfer)
    first, second = at_once(*[lambda: alice.confirm(transfer, code, key="two")] * 2)
    assert first == second
    assert bob.balance() == 11_250


def test_a_confirm_under_its_key_is_answered_200_again(alice, bob):
    transfer = alice.transfer(bob)
    code = alice.code(transfer)
    assert alice.confirm(transfer, code, key="two") == alice.confirm(transfer, code, key="two")
    other = alice.wrong_code(transfer)
    assert alice.confirm(transfer, other, status=422, key="two")["type"].endswith("mismatch")


def test_a_wrong_code_leaves_its_key_free(alice, bob):
    transfer = alice.transfer(bob)
    alice.confirm(transfer, alice.wrong_code(transfer), status=422, key="two")
    alice.confirm(transfer, alice.code(transfer), key="two")


def test_a_stored_fingerprint_gives_no_code_away(alice, bob):
    transfer = alice.transfer(bob)
    code = alice.code(transfer)
    alice.confirm(transfer, code, key="two")
    row = IdempotencyKey.objects.get(key="two")
    content = f"/api/v1/transfers/{transfer['id']}/confirm\n{code}"
    assert row.fingerprint != hashlib.sha256(content.encode()).hexdigest()
    assert code not in f"{row.fingerprint}{row.body}{row.location}"
