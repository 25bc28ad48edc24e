"""One contract for every provider, over its HTTP API on this machine. Nothing leaves it."""

import socket

import pytest
from django.core.mail import EmailMultiAlternatives

from otpmail import challenges, routes
from otpmail.backends.outbox import BACKEND as OUTBOX
from otpmail.models import Attempt, Delivery
from otpmail.outcomes import Blame, Kind
from otpmail.routes import transport
from otpmail.testing import live_code
from tests import providers
from tests.crowd import at_once
from tests.mailserver import route_through
from tests.providers import Answer, Drop, Slow, standing_in
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Anymail has no account there any more to test with; it works as its documentation says.
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]


@pytest.fixture(params=providers.APIS, ids=lambda api: api.name)
def provider(request, settings):
    settings.OTPMAIL_FROM = "kiosk@example.org"
    with standing_in(request.param) as stand_in:
        lead_to(settings, stand_in.api, stand_in.url)
        yield stand_in
        routes.close()


def lead_to(settings, api, url, **options):
    route_through(settings, api.backend, **api.options(url) | options)


def hurry(settings, provider, url, seconds):
    """Let the route wait for so long only."""
    if provider.api.name != "amazon_ses":
        lead_to(settings, provider.api, url, timeout=seconds)
        return
    params = provider.api.options(url)["client_params"]
    config = params["config"] | {"connect_timeout": seconds, "read_timeout": seconds}
    lead_to(settings, provider.api, url, client_params=params | {"config": config})


def a_mail(to="alice@example.org"):
    mail = EmailMultiAlternatives("Your code", "text", "kiosk@example.org", [to])
    mail.attach_alternative("<p>html</p>", "text/html")
    mail.metadata = {"otpmail": "x"}
    mail.extra_headers = {"Message-ID": "<1@example.org>"}
    return mail


def send(mail=None):
    (outcome,) = transport.send(
        "default", [mail or a_mail()], seconds=10, still_valid=lambda _: True
    )
    return outcome


def test_provider_takes_the_mail_whole(provider):
    issued = challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    delivery, attempt = Delivery.objects.get(), Attempt.objects.get()
    assert (delivery.state, attempt.outcome) == ("accepted", "accepted"), attempt.reply
    (taken,) = provider.taken
    code = live_code(issued.challenge_id)
    assert taken.to == "alice@example.org"
    assert taken.text.startswith(code)
    assert code in taken.html
    assert taken.headers["auto-submitted"] == "auto-generated"
    assert taken.metadata == {"otpmail": str(delivery.pk)}
    if provider.api.name != "mailjet":  # which sets its own
        assert taken.headers["message-id"] == delivery.message_id


def test_mails_share_one_connection(provider):
    for _ in range(5):
        assert send().kind is Kind.ACCEPTED
    assert (len(provider.taken), provider.connections) == (5, 1)


def test_provider_that_closed_an_idle_connection_costs_no_attempt(provider, settings):
    assert send().kind is Kind.ACCEPTED
    provider.stop()
    with standing_in(provider.api) as again:
        lead_to(settings, again.api, again.url)
        assert send().kind is Kind.ACCEPTED


def test_refused_recipient_is_the_mails_fault(provider):
    outcome = send(a_mail(to=providers.INVALID))
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.MAIL), outcome
    assert "nobody@" not in outcome.reply


def test_wrong_key_is_the_routes_fault(provider, settings):
    lead_to(settings, provider.api, provider.url, **provider.api.wrong_key)
    outcome = send()
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.ROUTE), outcome
    assert outcome.code in {401, 403}


@pytest.mark.parametrize(
    ("status", "kind", "blame"),
    [
        (401, Kind.PERMANENT, Blame.ROUTE),
        (403, Kind.PERMANENT, Blame.ROUTE),
        (404, Kind.PERMANENT, Blame.ROUTE),
        (429, Kind.TRANSIENT, Blame.ROUTE),
        (500, Kind.TRANSIENT, Blame.ROUTE),
        (503, Kind.TRANSIENT, Blame.ROUTE),
    ],
)
def test_status_is_read(provider, status, kind, blame):
    provider.fault = Answer(status, {"message": "as told"})
    outcome = send()
    assert (outcome.kind, outcome.blame, outcome.code) == (kind, blame, status), outcome
    assert not provider.taken


def test_too_many_requests_tell_how_long_to_wait(provider):
    provider.fault = Answer(429, {"message": "slow down"}, {"Retry-After": "7"})
    assert send().retry_after_seconds == 7


def test_answer_that_comes_too_late_leaves_the_mail_in_doubt(provider, settings):
    hurry(settings, provider, provider.url, 0.2)
    provider.fault = Slow(1.5)
    assert send().kind is Kind.UNKNOWN
    wait_until(lambda: len(provider.taken) == 1)  # and it was taken indeed


def test_connection_that_breaks_after_the_request_leaves_the_mail_in_doubt(provider):
    provider.fault = Drop()
    assert send().kind is Kind.UNKNOWN
    provider.fault = None
    assert send().kind is Kind.ACCEPTED


def test_refused_connection_took_nothing(provider):
    provider.stop()
    outcome = send()
    assert (outcome.kind, outcome.blame) == (Kind.TRANSIENT, Blame.ROUTE), outcome


def test_connection_that_is_never_made_took_nothing(provider, settings):
    """A listener with a full backlog: connecting times out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        hurry(settings, provider, f"http://127.0.0.1:{address[1]}", 0.2)
        outcome = send()
        for sock in waiting:
            sock.close()
    assert outcome.kind is Kind.TRANSIENT, outcome


def test_unknown_host_took_nothing(provider, settings):
    lead_to(settings, provider.api, "http://nowhere.invalid")
    assert send().kind is Kind.TRANSIENT


def test_answer_that_is_no_answer_leaves_the_mail_in_doubt(provider):
    provider.fault = Answer(200, {"hello": "you"})
    all_in_the_status = provider.api.name == "sendgrid"
    assert send().kind is (Kind.ACCEPTED if all_in_the_status else Kind.UNKNOWN)


def test_mail_waits_as_long_as_the_provider_asks(provider):
    provider.fault = Answer(429, {"message": "slow down"}, {"Retry-After": "30"})
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    delivery = Delivery.objects.get()
    assert delivery.state == "queued"
    assert (delivery.due_at - delivery.created_at).total_seconds() >= 30


def test_mails_at_once_take_a_connection_each_and_later_ones_take_those(provider):
    provider.fault = Slow(0.2)
    at_once(send, send)
    provider.fault = None
    send()
    assert (len(provider.taken), provider.connections) == (3, 2)


def test_a_projects_own_mail_tells_which_delivery_it_is_too(settings):
    (mailgun,) = [api for api in providers.APIS if api.name == "mailgun"]
    with standing_in(mailgun) as stand_in:
        route_through(settings, OUTBOX, routes=["api"])
        api = {"BACKEND": mailgun.backend, "OPTIONS": mailgun.options(stand_in.url)}
        settings.MAILERS = settings.MAILERS | {"api": api}
        settings.OTPMAIL_ROUTES = ["api"]
        mail = a_mail()
        mail.metadata = {"order": "7"}
        mail.send()
        routes.close()
    (taken,) = stand_in.taken
    assert taken.metadata == {"order": "7", "otpmail": str(Delivery.objects.get().pk)}


def test_provider_that_asks_to_be_left_alone_is_gone_round(settings):
    """At once for the mail that met it, and without asking for the next one."""
    settings.OTPMAIL_FROM = "kiosk@example.org"
    settings.OTPMAIL_ROUTES = ["first", "second"]
    apis = {api.name: api for api in providers.APIS}
    with standing_in(apis["postmark"]) as first, standing_in(apis["resend"]) as second:
        route_through(settings, "unused")
        settings.MAILERS = {
            name: {"BACKEND": each.api.backend, "OPTIONS": each.api.options(each.url)}
            for name, each in (("first", first), ("second", second))
        }
        first.fault = Answer(429, {"Message": "slow down"}, {"Retry-After": "60"})
        for owner in ("alice", "bob"):
            challenges.issue("sign-in", owner=owner, recipient=f"{owner}@example.org")
        routes.close()
    assert [taken.to for taken in second.taken] == ["alice@example.org", "bob@example.org"]
    attempts = Attempt.objects.order_by("pk").values_list("route", "outcome")
    assert list(attempts) == [
        ("first", "transient"),
        ("second", "accepted"),
        ("second", "accepted"),
    ]


def test_feature_that_a_provider_lacks_is_of_the_fit(settings):
    """One newsletter with two tags shut Postmark to all codes."""
    settings.OTPMAIL_FROM = "kiosk@example.org"
    postmark = next(api for api in providers.APIS if api.name == "postmark")
    with standing_in(postmark) as stand_in:
        lead_to(settings, stand_in.api, stand_in.url)
        mail = a_mail()
        mail.tags = ["one", "two"]
        outcome = send(mail)
        mail = a_mail()
        mail.metadata = {"otpmail": object()}
        assert (send(mail).kind, send(mail).blame) == (Kind.PERMANENT, Blame.CAPABILITY)
        routes.close()
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.CAPABILITY), outcome
