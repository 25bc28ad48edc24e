"""Processes die; promises do not."""

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests import mailserver
from tests.mailserver import text_of
from tests.waiting import wait_until


def test_killed_between_commit_and_send_the_mail_leaves_after_a_restart(site):
    with site.up() as kiosk:  # and no mail server is there
        asked = [site.alice().ask().status_code for _ in range(3)]
        site.kill(kiosk)
    assert asked == [201] * 3
    assert set(site.states()) == {"queued"}
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        server.wait_for(3)  # with no request to wake anything
        wait_until(lambda: set(site.states()) == {"accepted"})
    assert len(server.mails) == 3


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_in_a_burst_every_answered_request_has_its_mail(site):
    """200 requests, SIGKILL in the middle, a restart."""
    answered: list[str] = []

    with mailserver.running(port=site.ports.smtp) as server:
        with site.up() as kiosk, ThreadPoolExecutor(8) as pool:
            phones = [site.alice() for _ in range(8)]

            def ask(number: int) -> None:
                if number == 100:
                    site.kill(kiosk)
                try:
                    answer = phones[number % 8].ask()
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    answered.append(answer.json()["reference"])

            list(pool.map(ask, range(200)))
        assert 50 < len(answered) < 150
        with site.up():
            wait_until(lambda: set(site.states()) == {"accepted"}, seconds=60)

    mailed = Counter(reference_in(mail) for mail in server.mails)
    assert set(answered) <= set(mailed)
    doubled = {reference for reference, count in mailed.items() if count > 1}
    unknown = site.rows("SELECT count(*) FROM otpmail_attempt WHERE outcome = 'unknown'")[0][0]
    in_hand_when_killed = (
        2 * 8
    )  # couriers of two workers: taken by the server, not yet written down
    assert len(doubled) <= unknown + in_hand_when_killed
    assert len({mail["Message-ID"] for mail in server.mails}) == len(mailed)


def test_polite_stop_lets_mail_in_flight_arrive(site):
    with mailserver.running(port=site.ports.smtp) as server:
        told_to_end = threading.Event()
        server.may_take = told_to_end.is_set
        with site.up() as kiosk:
            alice = site.alice()
            for _ in range(4):
                alice.ask()
            wait_until(lambda: server.in_hand == 4)
            kiosk.terminate()
            told_to_end.set()
            assert kiosk.wait(timeout=60) == 0
        assert len(server.mails) == 4
        assert set(site.states()) == {"accepted"}


def test_stop_gives_back_what_waits_and_never_holds_the_exit(site):
    site.environment["OTPMAIL_DRAIN_SECONDS"] = "1"
    with mailserver.running(port=site.ports.smtp) as server:
        server.may_take = lambda: False
        with site.up() as kiosk:
            alice = site.alice()
            for _ in range(30):
                alice.ask()
            wait_until(lambda: server.in_hand)
            kiosk.terminate()
            assert kiosk.wait(timeout=60) == 0  # by itself, while the mail server says nothing
        queued = "SELECT count(*) FROM otpmail_delivery WHERE state = 'queued'"
        assert site.rows(queued) == [(30,)]
        (released,) = site.rows(queued + " AND leased_by = ''")[0]
        assert released >= 30 - 2 * 8


def test_dead_mail_server_changes_no_answer(site):
    with site.up():
        alice = site.alice()
        answer = alice.ask()
        assert answer.status_code == 201
        wait_until(lambda: alice.look(answer.json()["id"])["delivery"]["rounds"] >= 1)
        assert alice.look(answer.json()["id"])["delivery"]["state"] == "delayed"
    assert "WARNING otpmail" in site.log.read_text()


def test_mail_server_down_for_two_attempts_gets_the_mail_at_the_third(site):
    with site.up():
        alice = site.alice()
        transfer = alice.ask().json()
        wait_until(lambda: alice.look(transfer["id"])["delivery"]["rounds"] == 2)
        with mailserver.running(port=site.ports.smtp) as server:
            (mail,) = server.wait_for(1)
            code = text_of(mail).split()[0]
            wait_until(lambda: alice.look(transfer["id"])["delivery"]["state"] == "accepted")
            assert alice.type(transfer["id"], code).status_code == 200


def test_address_that_is_refused_for_good_is_told_to_the_client(site):
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        server.rcpt = ["550 5.1.1 <alice@example.org>: no such mailbox"]
        alice = site.alice()
        transfer = alice.ask().json()
        wait_until(lambda: alice.look(transfer["id"])["delivery"]["state"] == "failed")
        assert alice.look(transfer["id"])["delivery"]["reason"] == "refused"
    assert "Email failed reason=refused" in site.log.read_text()
    assert "alice@example.org" not in site.log.read_text()


def reference_in(mail):
    return re.search(r"Reference: (\w+)", text_of(mail))[1]
