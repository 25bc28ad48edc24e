"""Events as no provider's documentation has them: taken or skipped, and never a 500."""

import base64
import copy
import hmac
import json
import logging
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from anymail.signals import inbound
from anymail.webhooks.mandrill import MandrillCombinedWebhookView
from django.test import Client
from django.urls import include, path

from coop_kiosk.webhooks import open_urls
from mobile_api.middleware import MAX_BODY_BYTES
from otpmail import challenges
from otpmail.db import database
from otpmail.delivery.rendering import METADATA
from otpmail.events import webhooks
from otpmail.models import Delivery
from tests.hooks import HOOKS, WITH_SECRET

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
    pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailDeprecationWarning"),
]

STRANGE = {
    "null": None,
    "number": 5,
    "huge": 10**400,
    "infinite": float("inf"),
    "negative": -1,
    "true": True,
    "array": [],
    "array of nulls": [None, [None]],
    "object": {},
    "nested nulls": {"a": {"b": None}},
    "text": "nothing that was meant",
    "naive time": "2026-01-01T00:00:00",
    "far time": "0001-01-01T00:00:00+14:00",
    "half a character": "\ud800\x00",
}

SIGNED = {"signature", "Type", "MessageId"}
"""What stands for the whole, or must equal a header: it is refused as a wrong signature is."""

EACH = pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.provider)


@pytest.fixture
def client():
    return Client(headers={"host": "localhost"}, raise_request_exception=False)


@pytest.fixture
def delivery():
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    return Delivery.objects.get()


def lead_in(settings, anymail):
    settings.ANYMAIL = anymail
    settings.ROOT_URLCONF = (path("anymail/", include(open_urls(anymail))),)


def places(value, at=()):
    """Name each place in a JSON value, its root included."""
    yield at
    match value:
        case dict():
            inside = value.items()
        case list():
            inside = enumerate(value)
        case _:
            inside = ()
    for key, part in inside:
        yield from places(part, (*at, key))


def changed(value, at, strange):
    if not at:
        return strange
    value = copy.deepcopy(value)
    inner = value
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = strange
    return value


@EACH
@pytest.mark.parametrize("strange", STRANGE)
def test_no_strange_value_anywhere_is_a_500(settings, client, delivery, hook, strange):
    lead_in(settings, hook.key)
    told = hook.body("gone", str(delivery.pk), delivery.created_at)
    answers = {}
    for at in places(told):
        body = changed(told, at, STRANGE[strange])
        posted = replace(hook, body=lambda *_, body=body: body)
        answers[at] = posted.post(client, "gone", delivery.pk).status_code
    assert {at: code for at, code in answers.items() if code >= 500} == {}
    refused = {at for at, code in answers.items() if code != 200}
    assert all(at == () or at[0] in SIGNED for at in refused), refused


@EACH
@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"null"])
def test_body_that_is_no_json_is_no_500(settings, client, hook, body):
    lead_in(settings, hook.key)
    where = f"/anymail/{hook.provider}/tracking/"
    answer = client.post(where, body, "application/json", headers=sign(hook, body))
    assert answer.status_code < 500


def sign(hook, body):
    try:
        return hook.sign(body)
    except UnicodeDecodeError:  # svix signs text
        return {}


SENDGRID = next(hook for hook in HOOKS if hook.provider == "sendgrid")


@pytest.mark.parametrize("strange", [None, [], {}, {"event": ["delivered"]}, {"timestamp": "x"}])
def test_one_event_that_cannot_be_read_does_not_lose_its_batch(
    settings, client, delivery, caplog, strange
):
    lead_in(settings, SENDGRID.key)

    def body(*args):
        return [strange, *SENDGRID.body(*args), strange]

    assert replace(SENDGRID, body=body).post(client, "gone", delivery.pk).status_code == 200
    assert Delivery.objects.get().event == "bounced"
    assert all("\n" not in message for message in caplog.messages)


@pytest.mark.parametrize(("kibibytes", "status"), [(900, 200), (1100, 413)])
def test_batch_may_have_a_mebibyte(settings, client, delivery, kibibytes, status):
    """However little Django takes by itself."""
    lead_in(settings, SENDGRID.key)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

    def body(*args):
        events = SENDGRID.body(*args)
        events[0]["padding"] = "x" * (kibibytes * 1024)
        return events

    assert replace(SENDGRID, body=body).post(client, "gone", delivery.pk).status_code == status
    assert Delivery.objects.get().event == ("bounced" if status == 200 else "")


def test_batch_over_a_mebibyte_is_refused_without_the_kiosk_before_it(settings, client):
    lead_in(settings, SENDGRID.key)
    settings.MIDDLEWARE = []
    where, body = "/anymail/sendgrid/tracking/", b"[" + b" " * 1024 * 1024 + b"]"
    answer = client.post(where, body, "application/json", headers=SENDGRID.sign(body))
    assert answer.status_code == 413


def test_provider_that_is_not_in_use_is_not_found(settings, client, caplog):
    """A shared secret opens all URLs; some providers need settings besides, that are not there."""
    lead_in(settings, WITH_SECRET)
    paths = [f"/anymail/{url.pattern}" for url in open_urls(WITH_SECRET)]
    answers = {
        where: client.post(where, b"{}", "application/json", headers=HOOKS[-1].sign(b""))
        for where in paths
    }
    missing = {where for where, answer in answers.items() if answer.status_code == 404}
    assert {f"/anymail/{name}/tracking/" for name in ("mailersend", "mandrill")} <= missing
    assert {where for where, answer in answers.items() if answer.status_code >= 500} == set()
    told = [record for record in caplog.records if record.name == "django.request"]
    assert [record for record in told if record.exc_info or record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_strange_values_that_anymail_lets_through_are_borne(delivery, strange):
    names = ("reject_reason", "description", "mta_response", "timestamp", "metadata", "event_type")
    usual = dict.fromkeys(names) | {
        "event_type": "bounced",
        "metadata": {"otpmail": str(delivery.pk)},
    }
    for name in names:
        webhooks.handle_tracking(
            event=SimpleNamespace(**usual | {name: strange}), esp_name="Postmark"
        )
    webhooks.handle_tracking(
        event=SimpleNamespace(**usual | {"metadata": {"otpmail": strange}}), esp_name="Postmark"
    )
    assert Delivery.objects.get().event == "bounced"


@pytest.mark.parametrize(
    "told",
    [datetime(2026, 1, 1), datetime.min, datetime.max],  # noqa: DTZ001, DTZ901
)
def test_naive_time_is_taken_for_utc_and_none_is_beyond_what_is_kept(delivery, told):
    event = SimpleNamespace(
        event_type="delivered",
        metadata={"otpmail": str(delivery.pk)},
        reject_reason=None,
        description=None,
        mta_response=None,
        timestamp=told,
    )
    webhooks.handle_tracking(event=event, esp_name="Postmark")
    at = Delivery.objects.get().event_at
    assert at.tzinfo is not None
    assert at.year >= 1970
    assert at <= database.now()
    if told.year == 2026:
        assert at.replace(tzinfo=None) == told


MANDRILL_KEY = "mandrill-signs-with-this"


def post_to_mandrill(client, events, *, as_multipart=False):
    told = json.dumps(events)
    where = "http://localhost/anymail/mandrill/"
    told_and_url = f"{where}mandrill_events{told}".encode()
    digest = hmac.digest(MANDRILL_KEY.encode(), told_and_url, "sha1")
    headers = {"x-mandrill-signature": base64.b64encode(digest).decode()}
    form = {"mandrill_events": told}
    if as_multipart:
        return client.post("/anymail/mandrill/", form, headers=headers)
    kind = "application/x-www-form-urlencoded"
    return client.post("/anymail/mandrill/", urlencode(form), kind, headers=headers)


@pytest.fixture
def mandrill(settings):
    key = {"MANDRILL_WEBHOOK_KEY": MANDRILL_KEY}
    settings.ANYMAIL = key
    view = webhooks.tolerant(MandrillCombinedWebhookView.as_view())
    settings.ROOT_URLCONF = (path("anymail/mandrill/", view),)


@pytest.fixture
def came_in():
    heard = []

    def hear(event, **_):
        heard.append(event)

    inbound.connect(hear)
    yield heard
    inbound.disconnect(hear)


def bounced(delivery, **more):
    message = {"email": "alice@example.org", "metadata": {METADATA: str(delivery.pk)}} | more
    return {"event": "hard_bounce", "ts": delivery.created_at.timestamp(), "msg": message}


INBOUND = {"event": "inbound", "ts": 1, "msg": {"raw_msg": "Subject: hello\n\nhello"}}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.usefixtures("mandrill")
def test_batch_that_mixes_reports_and_mails_that_came_in_is_taken(
    client, delivery, came_in, is_first
):
    events = [bounced(delivery), INBOUND] if is_first else [INBOUND, bounced(delivery)]
    assert post_to_mandrill(client, events).status_code == 200
    assert Delivery.objects.get().event == "bounced"
    assert [event.message.subject for event in came_in] == ["hello"]


@pytest.mark.parametrize("as_multipart", [True, False])
@pytest.mark.parametrize(("kibibytes", "status"), [(1, 200), (900, 200), (1100, 413)])
@pytest.mark.usefixtures("mandrill")
def test_form_may_have_a_mebibyte_however_it_is_written(
    settings, client, delivery, as_multipart, kibibytes, status
):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
    events = [bounced(delivery, padding="x" * (kibibytes * 1024), diag="Zoë\n--x")]
    answer = post_to_mandrill(client, events, as_multipart=as_multipart)
    assert answer.status_code == status
    assert Delivery.objects.get().event == ("bounced" if status == 200 else "")


@pytest.mark.parametrize("body", [b"", b"--x\r\nbad", b"--x" + b"y" * 100_000, b"x" * 100_000])
@pytest.mark.usefixtures("mandrill")
def test_form_that_is_none_is_refused(settings, client, body):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
    answer = client.post("/anymail/mandrill/", body, "multipart/form-data; boundary=x")
    assert answer.status_code == 400
