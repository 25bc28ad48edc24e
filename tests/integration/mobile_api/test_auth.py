"""A number and a PIN get a token, which is good for a while and nowhere kept."""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, identify_hasher
from django.utils import timezone

from mobile_api.models import Member, Token

pytestmark = pytest.mark.django_db


class CountingHasher(MD5PasswordHasher):
    """A real hasher that counts its work."""

    worked = 0

    def encode(self, password, salt):
        CountingHasher.worked += 1
        return super().encode(password, salt)


def test_the_token_names_the_member_and_stands_in_no_row(alice):
    assert alice.get("me")["number"] == "1001"
    assert alice.token not in str(list(Token.objects.values()))
    identify_hasher(Member.objects.get(number="1001").pin)  # raises for what is not hashed


@pytest.mark.parametrize("number", ["1001", "9999"])
def test_a_wrong_pin_and_an_unknown_number_cost_and_look_the_same(alice, settings, number):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    CountingHasher.worked = 0
    problem = alice.post("sign-in", {"member_number": number, "pin": "0000"}, status=401)
    assert CountingHasher.worked == 1
    assert problem["type"] == "/problems/sign-in-failed"
    assert problem["detail"] == "The member number and the PIN do not match."


@pytest.mark.parametrize("moment", ["expires_at", "revoked_at"])
def test_a_token_that_has_ended_is_not_taken(alice, moment):
    past = timezone.now() - timedelta(seconds=1)
    Token.objects.update(**{"created_at": past - timedelta(hours=1), moment: past})
    problem = alice.get("me", status=401)
    assert problem["type"] == "/problems/unauthenticated"


def test_who_signs_out_is_out(alice):
    assert alice.post("sign-out", status=204) is None
    alice.get("accounts", status=401)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer \xe9", "x" * 5000]
)
def test_what_is_no_token_is_not_taken(alice, value):
    response = alice.client.get("/api/v1/me", headers={"authorization": value})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_accounts_are_ones_own(alice, bob):
    assert [account["number"] for account in alice.get("accounts")] == [alice.account]
