"""The admin's pages tell an operator what happened, and let nobody change it or find a code."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from otpmail import admin, challenges, routes
from otpmail.backends.outbox import EmailBackend
from otpmail.db import database
from otpmail.db.compat import first_uuid7
from otpmail.limits import suppressions
from otpmail.models import AuditEntry, Challenge, Delivery, DeliveryEvent, StoredMessage
from tests.mailserver import route_to, routes_to, running
from tests.rounds import carry, promise
from tests.staff import MODELS, STATS, pages, shown, signed_in, staff, superuser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.admin_urls")]


@pytest.fixture(autouse=True)
def _no_kiosk(settings):
    """Whose every refusal is a problem."""
    ours = "mobile_api.middleware.problems_only"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != ours]


@pytest.fixture
def operator():
    return staff()


@pytest.fixture
def issued(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"
    return promise()


def found(page):
    """Give the keys that a list leads to."""
    return re.findall(r'<th class="[^"]*"><a href="[^"]*/([^/"]+)/change/', page)


def copies_of(row, count, **changes):
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    del values["id"]
    return type(row).objects.bulk_create(type(row)(**values | changes) for _ in range(count))


def test_an_operator_sees_by_which_route_a_mail_failed_and_why(operator, issued, settings):
    settings.OTPMAIL_RETRY_SECONDS = []
    with running() as server:
        server.data = ["451 4.7.1 try again later"]
        route_to(settings, server.port)
        carry()
    delivery = Delivery.objects.get()
    for page in (
        shown(operator, "delivery", state="failed"),
        shown(operator, f"delivery/{delivery.pk}/change"),
    ):
        assert "4.7.1 try again later" in page
        assert "a***@example.org" in page
        assert "Gave Up" in page


def test_an_operator_sees_how_mail_stands(operator, settings):
    settings.OTPMAIL_ENGINE, settings.OTPMAIL_RETRY_SECONDS = "tests.engines.Deaf", []
    with running() as first, running() as second:
        first.data = ["451 4.3.2 not now"]
        routes_to(settings, a=first.port, b=second.port)
        for _ in range(3):
            promise()
        carry()
        promise(owner="bob")
        page = words(shown(operator, STATS))
        routes.close()
    assert re.search(r"Code 1 \d+\.", page)  # one waits
    assert re.search(r"a open for \d+ s 3 3 transient", page)
    assert "b closed" in page
    assert "0 3 accepted" in page
    assert "code accepted 3" in page
    assert "How mail stands" in shown(operator, "delivery")


def words(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_how_mail_stands_is_shown_to_who_may_view_deliveries_alone():
    nobody = get_user_model().objects.create_user("somebody", is_staff=True)
    assert signed_in(nobody).get(f"/admin/otpmail/{STATS}/").status_code == 403
    assert Client().get(f"/admin/otpmail/{STATS}/").status_code in {302, 400}


@pytest.mark.parametrize("model", MODELS)
def test_not_even_a_superuser_adds_changes_or_deletes(issued, model):
    carry()
    suppressions.suppress("bob@example.org", DeliveryEvent.BOUNCED, since=database.now())
    root, rows = superuser(), apps.get_model("otpmail", model).objects
    row = rows.first()
    before = rows.values().get(pk=row.pk)
    assert 'name="action"' not in shown(root, model)
    assert 'name="_save"' not in shown(root, f"{model}/{row.pk}/change")
    for path in ("add", f"{row.pk}/change", f"{row.pk}/delete"):
        assert root.post(f"/admin/otpmail/{model}/{path}/", {"post": "yes"}).status_code == 403
    assert rows.values().get(pk=row.pk) == before


def test_no_page_holds_an_address_an_owner_or_what_a_code_is_made_of(operator, issued):
    challenges.resend("sign-in", issued.challenge_id, owner="alice")
    carry()
    suppressions.suppress("alice@example.org", DeliveryEvent.BOUNCED, since=database.now())
    challenge = Challenge.objects.get()
    told = "".join(pages(operator))
    assert "a***@example.org" in told
    for secret in (challenge.nonce, challenge.binding):
        assert bytes(secret).hex() not in told
        assert str(bytes(secret)) not in told
    assert "alice" not in told


@pytest.mark.parametrize(
    "query",
    [
        {"nonce__gte": "a"},
        {"recipient__startswith": "a"},
        {"owner": "alice"},
        {"deliveries__message_id": "x"},
        {"challenge__recipient__startswith": "a"},
    ],
)
def test_what_is_not_shown_is_not_found_by_trying(operator, issued, query, settings):
    settings.DEBUG = False
    for model in MODELS:
        assert operator.get(f"/admin/otpmail/{model}/", query).status_code == 400


def test_a_challenge_its_mails_and_deeds_are_found_by_id_and_reference(operator, issued):
    promise(owner="bob")
    challenge, delivery = Challenge.objects.get(owner="alice"), Delivery.objects.first()
    deeds = AuditEntry.objects.filter(challenge_id=challenge.pk)
    for term in (str(challenge.pk), challenge.pk.hex, f" {challenge.reference.lower()} "):
        assert found(shown(operator, "challenge", q=term)) == [str(challenge.pk)]
        assert found(shown(operator, "delivery", q=term)) == [str(delivery.pk)]
        assert found(shown(operator, "auditentry", q=term)) == [str(action.pk) for action in deeds]
    assert found(shown(operator, "delivery", q=str(delivery.pk))) == [str(delivery.pk)]
    assert found(shown(operator, "challenge", q=str(delivery.pk))) == [str(challenge.pk)]


def test_every_reference_is_found():
    for _ in range(50):
        promise()
    for challenge in Challenge.objects.all():
        assert challenge.pk in admin._referred(challenge.reference)


@pytest.mark.parametrize("term", ["alice", "alice@example.org", "AAAAAA", "1", "%"])
def test_other_words_find_nothing(operator, issued, term):
    for model in ("challenge", "delivery", "auditentry"):
        assert found(shown(operator, model, q=term)) == []


def test_mails_that_wait_or_were_not_sent_can_be_told_apart(operator, issued):
    dropped = Delivery.objects.get()
    challenges.cancel("sign-in", issued.challenge_id, owner="alice")
    carry()
    promise(owner="bob")
    free = Delivery.objects.get(state="queued")
    promise(owner="carol")
    held = Delivery.objects.filter(state="queued").exclude(pk=free.pk).get()
    Delivery.objects.filter(pk=held.pk).update(
        leased_by="elsewhere/1/1/me", leased_until=database.now()
    )
    assert set(found(shown(operator, "delivery", state="waiting"))) == {str(free.pk), str(held.pk)}
    assert found(shown(operator, "delivery", state="dropped")) == [str(dropped.pk)]
    assert found(shown(operator, "delivery", state="failed")) == []
    assert found(shown(operator, "delivery", state="nonsense")) == []


def test_a_list_can_be_of_the_last_hour(operator, issued):
    old = first_uuid7(database.now() - timedelta(hours=2))
    copies_of(Challenge.objects.get(), 1, id=old)
    assert found(shown(operator, "challenge", since="hour")) == [str(issued.challenge_id)]
    assert len(found(shown(operator, "challenge", since="day"))) == 2
    assert len(found(shown(operator, "challenge", since="nonsense"))) == 2


def test_other_mail_is_shown_by_its_first_recipient_as_long_as_it_is_kept(operator, issued):
    letter = EmailMessage("Our news", "All of it", to=["bob@example.org"])
    EmailBackend().send_messages([letter])
    delivery = Delivery.objects.get(queue="mail")
    for path in ("delivery", f"delivery/{delivery.pk}/change"):
        told = shown(operator, path)
        assert "b***@example.org" in told
        assert "Our news" not in told
    StoredMessage.objects.all().delete()
    assert found(shown(operator, "delivery"))[0] == str(delivery.pk)


@pytest.mark.parametrize("model", ["challenge", "delivery", "auditentry"])
def test_a_list_counts_no_further_than_it_shows(operator, issued, model, monkeypatch):
    monkeypatch.setattr(admin, "MOST", 100)
    entry = AuditEntry.objects.get()
    copies_of(entry, 200)
    assert "100 audit entries" in shown(operator, "auditentry")
    with CaptureQueriesContext(connection) as captured:
        shown(operator, model)
    counts = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT 100" in count for count in counts)


def test_a_list_of_mails_costs_the_same_whatever_it_shows(operator, issued):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            shown(operator, "delivery")
        return len(captured)

    few = queries()
    for number in range(20):
        promise(owner=str(number))
    carry()
    assert mail.outbox
    assert queries() == few
