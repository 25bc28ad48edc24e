"""Each journey asks for a mail, reads it at a real mail server, and uses what stands in it.

Run by ``tests/acceptance/test_projects.py``.
"""

import re

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django_otp.plugins.otp_email.models import EmailDevice

from otpmail import routes
from otpmail.models import Delivery, Queue, StoredMessage
from tests import mailserver
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings):
    settings.OTPMAIL_ENGINE = "otpmail.engines.threads.ThreadsEngine"  # a new one for each test
    outbox = settings.OUTBOX
    with mailserver.running() as server:
        mailserver.route_through(settings, outbox, routes=["smtp"])
        options = {"host": "127.0.0.1", "port": server.port, "timeout": 5}
        smtp = {"BACKEND": mailserver.OUR_BACKEND, "OPTIONS": options}
        settings.MAILERS = settings.MAILERS | {"smtp": smtp}
        yield server
        routes.close()


@pytest.fixture
def alice():
    return User.objects.create_user("alice", "alice@example.org", "an older password")


def read(server, pattern):
    """Read what a person would type or follow."""
    (received,) = server.wait_for(1)
    wait_until(lambda: Delivery.objects.get().state == "accepted")
    assert Delivery.objects.get().queue == Queue.MAIL
    assert not StoredMessage.objects.exists()
    return re.search(pattern, mailserver.text_of(received))[1]


def test_project_is_in_order(server):
    call_command("check", "--fail-level", "WARNING")


def test_allauth_signs_in_by_a_mailed_code(server, client, alice):
    client.post(reverse("account_request_login_code"), {"email": alice.email})
    code = read(server, r"(?m)^\s*([A-Z0-9]{3,}(?:-[A-Z0-9]{3,})?)\s*$")
    client.post(reverse("account_confirm_login_code"), {"code": code})
    assert client.get("/").content == b"alice"


def test_django_otp_takes_a_mailed_token(server, alice):
    device = EmailDevice.objects.create(user=alice, name="mail")
    device.generate_challenge()
    token = read(server, r"(\d{6})")
    assert not device.verify_token("000000" if token != "000000" else "111111")
    EmailDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    device.refresh_from_db()
    assert device.verify_token(token)


def test_django_resets_a_password_by_a_mailed_link(server, client, alice):
    client.post(reverse("password_reset"), {"email": alice.email})
    link = read(server, r"http://[^/]+(/\S+)")
    form = client.get(link, follow=True)
    new = {"new_password1": "a much newer one", "new_password2": "a much newer one"}
    client.post(form.request["PATH_INFO"], new)
    alice.refresh_from_db()
    assert alice.check_password("a much newer one")
