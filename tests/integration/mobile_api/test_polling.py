"""A client that waits for a mail may ask often: it is cheap, and told when to ask again."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from otpmail.challenges import mail_progress
from otpmail.models import Delivery
from tests.integration.mobile_api.phone import API

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ask(alice, bob):
    transfer = alice.transfer(bob)

    def ask(etag=None):
        headers = {"authorization": f"Bearer {alice.token}"}
        if etag:
            headers["if-none-match"] = etag
        return alice.client.get(f"{API}transfers/{transfer['id']}", headers=headers)

    return ask


def test_nothing_new_is_told_without_a_body(ask):
    first = ask()
    again = ask(first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]


def test_something_new_is_told(ask):
    first = ask()
    Delivery.objects.update(event="delivered", event_at=Delivery.objects.get().created_at)
    news = ask(first["ETag"])
    assert news.status_code == 200
    assert news["ETag"] != first["ETag"]
    assert news.json()["delivery"]["state"] == "delivered"


def test_nothing_of_it_is_kept_in_a_cache(ask):
    first = ask()
    assert {ask()["Cache-Control"], ask(first["ETag"])["Cache-Control"]} == {"no-store"}


def test_the_tag_of_another_transfer_does_not_match(ask, alice, bob):
    other = alice.client.get(
        f"{API}transfers/{alice.transfer(bob)['id']}",
        headers={"authorization": f"Bearer {alice.token}"},
    )
    assert ask(other["ETag"]).status_code == 200


def test_a_stranger_with_the_tag_is_told_nothing(ask, mallory):
    path, tag = ask().wsgi_request.path, ask()["ETag"]
    headers = {"authorization": f"Bearer {mallory.token}", "if-none-match": tag}
    assert mallory.client.get(path, headers=headers).status_code == 404


def test_asking_is_cheap(ask):
    mail_progress._was_slow.cache_clear()
    with CaptureQueriesContext(connection) as captured:
        ask()
    clocks = ("SELECT clock_timestamp()", "SELECT UTC_TIMESTAMP(6)")
    asked = [query["sql"] for query in captured.captured_queries if query["sql"] not in clocks]
    assert len(asked) == 3, "\n".join(asked)  # the token, the transfer, its code and mails


def test_client_is_told_what_to_do_and_when_to_ask_again(ask):
    mail = ask().json()["delivery"]
    assert (mail["state"], mail["next"], mail["poll_after_ms"]) == ("accepted", "type-code", 1000)
    assert mail["slow"] is False
    assert mail["took_ms"] >= 0


def test_suppressed_address_is_told_in_the_first_answer(alice, bob):
    from otpmail.db import database
    from otpmail.limits import suppressions
    from otpmail.models import DeliveryEvent

    suppressions.suppress("alice@example.org", DeliveryEvent.BOUNCED, since=database.now())
    mail = alice.transfer(bob)["delivery"]
    assert (mail["state"], mail["reason"]) == ("failed", "suppressed")
    assert mail["next"] == "check-address"
    assert mail["advice"] == "Your address refused our mail before. Check it with us."


def test_the_document_tells_of_the_tag(client):
    document = client.get(f"{API}openapi.json", headers={"host": "localhost"}).json()
    operation = document["paths"]["/api/v1/transfers/{transfer_id}"]["get"]
    assert "304" in operation["responses"]
    assert {"transfer_id", "If-None-Match"} == {each["name"] for each in operation["parameters"]}
    states = document["components"]["schemas"]["MailStatus"]["enum"]
    assert {"queued", "delayed", "delivered", "bounced"} <= set(states)
