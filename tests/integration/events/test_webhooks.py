"""Every provider's events, signed as it signs them, at the kiosk's own URLs."""

import logging
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import include, path

from coop_kiosk.webhooks import SIGNED, open_urls
from otpmail import challenges
from otpmail.models import Delivery, Suppression
from tests.hooks import HOOKS, WITH_SECRET

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Anymail has no account there any more to test with; it works as its documentation says.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]


@pytest.fixture(params=HOOKS, ids=lambda hook: hook.provider)
def hook(request, settings):
    lead_in(settings, request.param.key)
    return request.param


@pytest.fixture
def postmark(settings):
    (hook,) = [hook for hook in HOOKS if hook.provider == "postmark"]
    lead_in(settings, hook.key)
    return hook


def lead_in(settings, anymail):
    settings.ANYMAIL = anymail
    settings.ROOT_URLCONF = (path("anymail/", include(open_urls(anymail))),)


@pytest.fixture
def client():
    return Client(headers={"host": "localhost"})


@pytest.fixture
def delivery():
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    return Delivery.objects.get()


WORDS = {
    "delivered": "delivered",
    "deferred": "deferred",
    "gone": ("bounced", "rejected"),
    "full": "bounced",
    "complained": "complained",
}


EACH_EVENT = pytest.mark.parametrize(
    ("hook", "event"),
    [
        pytest.param(hook, event, id=f"{hook.provider}-{event}")
        for hook in HOOKS
        for event in hook.knows
    ],
    indirect=["hook"],
)


@EACH_EVENT
def test_event_is_recorded_once_however_often_it_comes(hook, client, delivery, event, caplog):
    at = delivery.created_at
    with caplog.at_level(logging.INFO, "otpmail"):
        for _ in range(2):
            assert hook.post(client, event, delivery.pk, at).status_code == 200
    now = Delivery.objects.get()
    assert now.event in WORDS[event]
    assert abs(now.event_at - at) <= timedelta(seconds=1)
    assert caplog.text.count(f"Email {now.event} ") == 1


@EACH_EVENT
def test_only_a_dead_address_or_a_complaint_is_suppressed(hook, client, delivery, event):
    hook.post(client, event, delivery.pk)
    assert Suppression.objects.exists() is (event in {"gone", "complained"})


def test_wrong_signature_is_refused_and_changes_nothing(hook, client, delivery):
    response = hook.post(client, "gone", delivery.pk, forged=True)
    assert 400 <= response.status_code < 500
    assert response["Content-Type"] == "application/problem+json"
    assert Delivery.objects.get().event == ""
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("stranger", [uuid4(), "", "no id at all", "1" * 5000])
def test_event_of_an_unknown_mail_is_taken_and_logged_once(
    hook, client, delivery, stranger, caplog
):
    """Else the provider would come again and again."""
    with caplog.at_level(logging.INFO):
        assert hook.post(client, "gone", stranger).status_code == 200
    (line,) = [r for r in caplog.records if "unknown mail" in r.getMessage()]
    assert line.levelname == "INFO"
    assert Delivery.objects.get().event == ""


def test_event_that_cannot_be_written_down_is_asked_for_again(hook, client, delivery):
    client.raise_request_exception = False

    def refuse(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            raise DatabaseError("away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        assert hook.post(client, "delivered", delivery.pk).status_code == 500
    assert hook.post(client, "delivered", delivery.pk).status_code == 200
    assert Delivery.objects.get().event == "delivered"


def test_what_a_provider_says_is_kept_masked_and_short(postmark, client, delivery):

    def body(*args):
        words = f"alice@example.org\r\nis {'very ' * 100}dead"
        return postmark.body(*args) | {"Details": words}

    replace(postmark, body=body).post(client, "gone", delivery.pk)
    reason = Delivery.objects.get().event_reason
    assert reason.startswith("Postmark: bounced a***@example.org is very")
    assert len(reason) == 200


def test_event_of_tomorrow_has_not_the_last_word(postmark, client, delivery):
    postmark.post(client, "gone", delivery.pk, delivery.created_at + timedelta(days=1))
    assert Delivery.objects.get().event_at < delivery.created_at + timedelta(hours=1)


def test_event_that_tells_nothing_of_the_way_is_taken_and_forgotten(postmark, client, delivery):

    def body(*args):
        return postmark.body(*args) | {"RecordType": "Open"}

    hook = replace(postmark, body=body)
    assert hook.post(client, "delivered", delivery.pk).status_code == 200
    assert Delivery.objects.get().event == ""


def test_no_url_is_open_without_a_secret():
    assert open_urls({}) == open_urls({"MAILGUN_API_KEY": "k", "WEBHOOK_SECRET": ""}) == []


@pytest.mark.parametrize(("name", "provider"), SIGNED.items())
def test_signing_key_opens_its_providers_url_and_no_other(name, provider):
    assert [str(url.pattern) for url in open_urls({name: "k"})] == [f"{provider}/tracking/"]


def test_shared_secret_opens_tracking_and_nothing_else():
    paths = [str(url.pattern) for url in open_urls(WITH_SECRET)]
    assert "postmark/tracking/" in paths
    assert all(path.endswith("/tracking/") for path in paths)
