"""Nobody guesses a PIN, floods a member or locks one out."""

import hashlib
from datetime import datetime
from ipaddress import ip_network

import pytest
from django.db.models import F
from django.test import RequestFactory
from django.utils import timezone

from mobile_api.models import Transfer
from mobile_api.requester import client_of
from otpmail.crypto import keys
from otpmail.limits.counters import HOUR_MS
from otpmail.models import AuditEntry, Challenge, Counter
from tests.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)

KEY, OTHER_KEY = "a kiosk's 256 random bits", "another's"
PROXY = "10.0.0.1"


@pytest.fixture(autouse=True)
def kiosks(settings):
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, OTHER_KEY)]
    settings.KIOSKS = dict(zip(digests, ["kiosk-1", "kiosk-2"], strict=True))


def sign_in(client, number, pin, key=KEY, address="192.0.2.1"):
    return client.post(
        "/api/v1/sign-in",
        {"member_number": number, "pin": pin},
        "application/json",
        headers={"X-Kiosk-Key": key} if key else {},
        REMOTE_ADDR=address,
    )


def statuses(client, times, *args, **named):
    return [sign_in(client, *args, **named).status_code for _ in range(times)]


# Signing in


@pytest.mark.parametrize("number", ["1001", "9999"])
def test_the_sixth_failure_at_a_kiosk_is_not_looked_at(alice, client, number):
    """Whether there is such a member or not."""
    assert statuses(client, 5, number, "0000") == [401] * 5
    refused = sign_in(client, number, "2468")
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (429, "/problems/sign-in-throttled")
    assert 600 < int(refused["Retry-After"]) <= 720
    assert datetime.fromisoformat(problem["retry_at"]) > timezone.now()


def test_a_stranger_locks_no_member_out_of_another_kiosk(alice, client):
    statuses(client, 50, "1001", "0000")
    assert sign_in(client, "1001", "2468", key=OTHER_KEY).status_code == 200


def test_a_stranger_locks_no_other_member_out_of_this_kiosk(alice, bob, client):
    statuses(client, 50, "1001", "0000")
    assert sign_in(client, "1002", "2468").status_code == 200


def test_many_strangers_lock_no_member_out_of_their_own_kiosk(alice, client):
    assert sign_in(client, "1001", "2468", key=OTHER_KEY).status_code == 200
    for number in range(20):
        statuses(client, 6, "1001", "0000", key=None, address=f"198.51.100.{number}")
    assert sign_in(client, "1001", "2468").status_code == 429
    assert sign_in(client, "1001", "2468", key=OTHER_KEY).status_code == 200


def test_many_strangers_together_have_thirty_guesses_an_hour(alice, client):
    codes = [
        status
        for number in range(20)
        for status in statuses(client, 6, "1001", "0000", key=None, address=f"2001:db8:{number}::1")
    ]
    assert codes.count(401) == 30


@pytest.mark.parametrize(("pattern", "looked_at"), [("12{:02x}", 8), ("{:02x}00", 32)])
def test_a_customer_with_many_ipv6_networks_is_one_client(
    alice, client, settings, pattern, looked_at
):
    """The cap of one /64 is two; a /56 has four times as much, a /48 sixteen times."""
    settings.SIGN_INS_CLIENT = (2, 100)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    address = f"2001:db8:1:{pattern}::1"
    found = [
        sign_in(client, f"{5000 + n}", "0000", key="", address=address.format(n)).status_code
        for n in range(looked_at + 2)
    ]
    assert found == [401] * looked_at + [429] * 2


def test_a_key_that_is_rotated_lets_no_guesser_go_on_and_keeps_a_kiosk_known(
    alice, client, settings
):
    assert sign_in(client, "1001", "2468", key=OTHER_KEY).status_code == 200
    statuses(client, 30, "1001", "0000")
    settings.OTPMAIL_KEYS = {"new": keys.new(), **settings.OTPMAIL_KEYS}
    assert sign_in(client, "1001", "2468").status_code == 429
    assert sign_in(client, "1001", "2468", key=OTHER_KEY).status_code == 200


def test_the_right_pin_counts_for_nothing(alice, client):
    assert statuses(client, 40, "1001", "2468") == [200] * 40


def test_an_hour_later_it_is_looked_at_again(alice, client):
    statuses(client, 6, "1001", "0000")
    Counter.objects.update(hour_until=F("hour_until") - HOUR_MS)
    assert sign_in(client, "1001", "2468").status_code == 200


def test_of_sixteen_wrong_pins_at_once_five_are_looked_at(alice, client):
    told = at_once(*[lambda: sign_in(client, "1001", "0000").status_code] * 16)
    assert sorted(told) == [401] * 5 + [429] * 11


# Who asks


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (PROXY, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (PROXY, "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (PROXY, "", PROXY),
        ("", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_address_is_told_by_our_proxies_alone(settings, remote, forwarded, address):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=remote)
    assert client_of(request).address == address


def test_without_proxies_nobody_names_another_address():
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "1.1.1.1"}, REMOTE_ADDR="")
    assert client_of(request).address == ""


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:52011", "203.0.113.9:52011"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2:52011", "203.0.113.9"),
        ("64:ff9b::a00:1", "6.6.6.6", "64:ff9b::a00:1"),
    ],
)
def test_a_proxy_is_ours_whatever_port_is_written_with_it(settings, remote, forwarded, address):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=remote)
    assert client_of(request).address == address


@pytest.mark.parametrize("key", [None, "", " "])
def test_no_key_is_nobodys(settings, key):
    settings.KIOSKS = {hashlib.sha256(text.encode()).hexdigest(): "kiosk-1" for text in ("", " ")}
    headers = {} if key is None else {"X-Kiosk-Key": key}
    assert client_of(RequestFactory().get("/", headers=headers)).credential == ""


@pytest.mark.parametrize(("key", "name"), [(KEY, "kiosk-1"), ("guessed", ""), ("\udcff", "")])
def test_a_kiosk_is_known_by_its_key(key, name):
    assert client_of(RequestFactory().get("/", headers={"X-Kiosk-Key": key})).credential == name


# Transfers


def limited(phone, payee, **changes):
    response = phone.send("transfers", phone.wish(payee, **changes), key="key")
    problem = response.json()
    assert (response.status_code, problem["type"]) == (429, "/problems/otp/rate-limited")
    assert int(response["Retry-After"]) >= 1
    assert problem["retry_at"]
    return problem["detail"]


def test_a_fourth_open_transfer_cancels_the_oldest(alice, bob, settings):
    del settings.OTPMAIL_OPEN_CHALLENGES
    first, *others = [alice.transfer(bob) for _ in range(4)]
    ended = alice.get(f"transfers/{first['id']}")
    assert (ended["state"], ended["reason"]) == ("cancelled", "superseded")
    answer = alice.send(f"transfers/{first['id']}/confirm", {"code": "000000"})
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/otp/superseded")
    assert "newer transfers" in answer.json()["detail"]
    assert {alice.get(f"transfers/{one['id']}")["state"] for one in others} == {"pending"}


def test_a_refused_transfer_cancels_none_and_its_key_is_free(alice, bob, settings):
    del settings.OTPMAIL_OPEN_CHALLENGES
    settings.OTPMAIL_RECIPIENT_QUOTA = (3, 3)
    open_ = [alice.transfer(bob) for _ in range(3)]
    rows = Transfer.objects.count()
    limited(alice, bob)
    assert {alice.get(f"transfers/{one['id']}")["state"] for one in open_} == {"pending"}
    assert (Transfer.objects.count(), Challenge.objects.count()) == (rows, 3)
    settings.OTPMAIL_RECIPIENT_QUOTA = ()
    alice.post("transfers", alice.wish(bob), status=201, key="key")


def test_an_eleventh_mail_in_an_hour_is_refused(alice, bob, settings):
    del settings.OTPMAIL_RECIPIENT_QUOTA
    for _ in range(10):
        alice.transfer(bob)
    assert "your address" in limited(alice, bob)


def test_ten_wrong_codes_make_the_member_wait(alice, bob):
    for _ in range(2):
        transfer = alice.transfer(bob)
        for _ in range(5):
            alice.send(f"transfers/{transfer['id']}/confirm", {"code": alice.wrong_code(transfer)})
    assert "wrong codes" in limited(alice, bob)
    assert bob.transfer(alice)


def test_the_code_of_an_older_mail_is_told_from_a_wrong_one(alice, bob, pass_time):
    transfer = alice.transfer(bob)
    old = alice.code(transfer)
    pass_time(Challenge.objects.get().pk, 480)
    alice.post(f"transfers/{transfer['id']}/code", status=202)
    problem = alice.confirm(transfer, old, status=410)
    assert problem["type"] == "/problems/otp/superseded"
    assert (problem["guesses_left"], problem["can_resend"]) == (4, True)
    alice.confirm(transfer, alice.code(transfer))


@pytest.mark.parametrize(("amount_minor", "digits"), [(99_999, 6), (100_000, 8)])
def test_a_thousand_euros_have_a_longer_code(join, bob, amount_minor, digits):
    rich = join("Rich", "1004", 200_000)
    transfer = rich.transfer(bob, amount_minor)
    assert transfer["digits"] == digits
    rich.confirm(transfer, rich.code(transfer))


def test_the_audit_tells_from_where(alice, bob):
    alice.client.defaults |= {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_KIOSK_KEY": KEY}
    transfer = alice.transfer(bob)
    alice.confirm(transfer, alice.code(transfer))
    told = AuditEntry.objects.filter(action__in=["issued", "confirmed"])
    assert set(told.values_list("address", "credential")) == {("192.0.2.7", "kiosk-1")}
