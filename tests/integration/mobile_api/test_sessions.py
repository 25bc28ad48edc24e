"""Where a member is signed in, and how that ends; how many sign-ins a client and a process bear."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db.models import F
from django.test import Client
from django.utils import timezone

from mobile_api import auth
from mobile_api.models import Token
from tests.crowd import at_once
from tests.integration.mobile_api.phone import Phone

pytestmark = pytest.mark.django_db(transaction=True)


def idle(seconds):
    Token.objects.update(
        seen_at=F("seen_at") - timedelta(seconds=seconds),
        created_at=F("created_at") - timedelta(seconds=seconds),
    )


def test_who_is_idle_for_long_is_signed_out(alice, settings):
    idle(settings.SIGN_OUT_IDLE_SECONDS - 60)
    alice.get("me")  # and is not idle any more
    idle(settings.SIGN_OUT_IDLE_SECONDS - 60)
    alice.get("me")
    idle(settings.SIGN_OUT_IDLE_SECONDS)
    alice.get("me", status=401)


def test_use_is_written_down_now_and_then_and_not_each_time(alice):
    before = Token.objects.get().seen_at
    alice.get("me")
    assert Token.objects.get().seen_at == before
    idle(31)
    alice.get("me")
    assert Token.objects.get().seen_at > before


def test_sessions_are_listed_the_newest_first_and_nobody_elses(alice, bob):
    lost = Phone(alice.member)
    lost.post("sign-out", status=204)
    other = Phone(alice.member)
    told = alice.get("sessions")
    assert [session["is_this_one"] for session in told] == [False, True]
    assert {session["client"] for session in told} == {"127.0.0.1"}
    assert [session["is_this_one"] for session in other.get("sessions")] == [True, False]
    assert alice.token not in str(told)


def test_who_signs_out_everywhere_is_out_everywhere_and_nobody_else_is(alice, bob):
    lost = Phone(alice.member)
    assert alice.post("sign-out-everywhere", status=204) is None
    alice.get("me", status=401)
    lost.get("me", status=401)
    bob.get("me")


def sign_in(number, pin="0000", address="192.0.2.7"):
    return Client(headers={"host": "localhost"}).post(
        "/api/v1/sign-in",
        {"member_number": number, "pin": pin},
        "application/json",
        REMOTE_ADDR=address,
    )


def test_a_client_that_tries_each_number_is_refused(alice, settings):
    settings.SIGN_INS_CLIENT = (7, 20)
    statuses = [sign_in(str(number)).status_code for number in range(9)]
    assert statuses == [401] * 7 + [429] * 2
    assert sign_in("1001", "2468").status_code == 429
    assert sign_in("1001", "2468", address="192.0.2.8").status_code == 200


def test_sign_ins_that_succeed_use_nothing_up(alice, settings):
    settings.SIGN_INS_CLIENT = (3, 3)
    assert [sign_in("1001", "2468").status_code for _ in range(8)] == [200] * 8


class SlowHasher(MD5PasswordHasher):
    """A real hasher that lets a test see how many of it work."""

    let_go = threading.Event()
    lock = threading.Lock()
    working = most = 0

    def encode(self, password, salt):
        with SlowHasher.lock:
            SlowHasher.working += 1
            SlowHasher.most = max(SlowHasher.most, SlowHasher.working)
        SlowHasher.let_go.wait(60)
        with SlowHasher.lock:
            SlowHasher.working -= 1
        return super().encode(password, salt)


def test_few_pins_are_looked_at_at_once_and_who_waits_too_long_is_told(
    alice, settings, monkeypatch
):
    settings.PASSWORD_HASHERS = [f"{__name__}.SlowHasher"]
    monkeypatch.setattr(auth, "HASH_WAIT_SECONDS", 0.2)
    told = []

    def ask(number):
        told.append(sign_in(number, address=f"192.0.2.{number}"))
        if len(told) == 4:
            SlowHasher.let_go.set()

    at_once(*[lambda number=number: ask(str(number)) for number in range(6)])
    statuses = sorted(response.status_code for response in told)
    assert statuses == [401, 401, 503, 503, 503, 503]
    assert SlowHasher.most == settings.HASHES_AT_ONCE == 2
    busy = next(response for response in told if response.status_code == 503)
    assert busy.json()["type"] == "/problems/unavailable"
    assert int(busy["Retry-After"]) > 0
    assert Token.objects.filter(created_at__gt=timezone.now()).count() == 0
