"""The API's document tells all that it answers, and even its faults are problems."""

import re

import pytest
from django.core.management import call_command

from mobile_api.models import Account, Entry, Member
from mobile_api.problems import CATALOGUE
from tests.integration.mobile_api.phone import Phone

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = "/api/v1/openapi.json"


@pytest.fixture
def operations(client):
    paths = client.get(DOCUMENT).json()["paths"]
    return {
        (method, path.removeprefix("/api/v1")): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_the_document_tells_every_operation(operations):
    assert set(operations) == {
        ("post", "/sign-in"),
        ("post", "/sign-out"),
        ("post", "/sign-out-everywhere"),
        ("get", "/sessions"),
        ("get", "/me"),
        ("get", "/accounts"),
        ("post", "/transfers"),
        ("get", "/transfers/{transfer_id}"),
        ("post", "/transfers/{transfer_id}/confirm"),
        ("post", "/transfers/{transfer_id}/code"),
        ("post", "/transfers/{transfer_id}/cancel"),
    }


def test_the_document_tells_every_problem(operations):
    told = {
        (kind, int(status))
        for operation in operations.values()
        for status, response in operation["responses"].items()
        for kind in re.findall("`([^`]+)`", response["description"])
    }
    assert told == {(kind.uri, kind.status) for kind in CATALOGUE.values()}


def test_a_problems_type_is_the_address_of_its_explanation(client):
    for kind in CATALOGUE.values():
        page = client.get(kind.uri)
        assert page["Content-Type"] == "text/plain; charset=utf-8"
        assert kind.next_step in page.content.decode()
    assert client.get("/problems/nothing").status_code == 404


def test_every_problem_refers_to_the_problems_schema(client, operations):
    schemas = client.get(DOCUMENT).json()["components"]["schemas"]
    assert {"type", "title", "status", "detail", "next"} <= set(schemas["Problem"]["properties"])
    for operation in operations.values():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}


def test_only_signing_in_needs_no_token(operations):
    open_ones = {name for name, operation in operations.items() if "security" not in operation}
    assert open_ones == {("post", "/sign-in")}


def test_the_page_brings_all_that_it_shows(client):
    page = client.get("/api/v1/docs").content.decode()
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert assets
    for asset in assets:
        assert asset.startswith("/static/")
        response = client.get(asset)
        assert response.status_code == 200
        response.close()


def test_a_fault_is_a_problem_and_moves_nothing(alice, bob, settings):
    transfer = alice.transfer(bob)
    code = alice.code(transfer)
    settings.OTPMAIL_PURPOSES = {}  # nobody tells what the code is bound to
    problem = alice.confirm(transfer, code, status=500)
    assert problem["type"] == "/problems/fault"
    assert alice.balance() == 10_000


def test_answers_are_kept_by_no_cache(alice):
    assert alice.client.get("/api/v1/me")["Cache-Control"] == "no-store"


def test_health_is_told(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_members_of_the_demonstration_are_loaded_once(capsys):
    call_command("demo_data")
    call_command("demo_data")
    told = capsys.readouterr().out
    assert "member number 1001, PIN 2468" in told
    assert Member.objects.count() == 2
    assert Entry.objects.count() == 4
    alice = Phone(Member.objects.get(number="1001"))
    assert alice.balance() == 100_000
    assert sum(Account.objects.values_list("balance_minor", flat=True)) == 0
