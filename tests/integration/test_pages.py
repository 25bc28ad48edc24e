"""What the docs show in Python runs as it stands there, in a project of its own."""

import json
import re
import unittest
from datetime import timedelta

import django
import pytest
from botocore.stub import Stubber
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse

from otpmail import challenges, receipts, results
from otpmail.models import Challenge, Delivery
from otpmail.testing import live_code
from tests.pages import FENCE, PAGES, ROOT, examples, project, with_examples
from tests.rounds import other_than

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["project"]


def on(page):
    """Name the page whose examples a test runs."""
    return pytest.mark.parametrize("page", [page])


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice", email="alice@example.org")


@pytest.fixture
def post(alice):
    """Make requests of one browser, in which Alice is signed in."""
    session = SessionStore()

    def make(**data):
        request = RequestFactory().post("/", data, headers={"host": "localhost"})
        request.session, request.user = session, alice
        return request

    return make


def newest_code():
    return live_code(Challenge.objects.order_by("created_at").last().pk)


def test_every_example_names_its_file():
    for page in PAGES:
        assert len(FENCE.findall(page.read_text())) == len(examples(page)), page.name


@pytest.mark.parametrize("page", with_examples())
def test_examples_can_be_imported_and_their_settings_have_no_errors(project, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for errors in project.configure():
        assert errors == []
    project.modules()


@on("README.md")
def test_first_example_answers_each_result(project, post):
    views = project.modules().views
    assert "No mail can be sent" in views.ask(post(email="nobody"))
    assert "Type the code" in views.ask(post(email="new@example.org"))
    code = newest_code()
    assert "4 guesses are left" in views.check(post(code=other_than(code)))
    assert "newest mail" in views.check(post(code="twelve"))
    assert views.check(post(code=code)) == "Your address is new@example.org."
    assert "That is over" in views.check(post(code=code))


@on("README.md")
def test_first_example_tells_of_too_many_mails(project, post, settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = [1, 1]
    views = project.modules().views
    challenges.issue("new-address", owner="somebody", recipient="new@example.org")
    assert "Too many mails" in views.ask(post(email="new@example.org"))


@on("docs/tutorial/first-code.md")
def test_tutorial_leads_to_a_code_that_is_taken(project, settings, capsys):
    assert [*project.configure()] == [[]]
    if django.VERSION < (6, 1):  # there a test runner's locmem stands in this setting
        settings.EMAIL_BACKEND = settings.MAILERS["default"]["BACKEND"]
    settings.ROOT_URLCONF = "bank.urls"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one.startswith("django.")]
    browser = Client(headers={"host": "localhost"})
    assert 'autocomplete="email"' in browser.get("/").text
    assert browser.post("/", {"typed": "nobody"}).status_code == 400
    assert "a***@example.org" in browser.post("/", {"typed": "alice@example.org"}).text
    (code,) = re.findall(r"^(\d{8}) is your code\.$", capsys.readouterr().out, re.MULTILINE)
    wrong = browser.post("/check", {"typed": f"{(int(code) + 1) % 10**8:08d}"})
    assert "4 guesses are left" in wrong.text
    assert "8 digits" in browser.post("/check", {"typed": "1"}).text
    assert browser.post("/check", {"typed": code}).text == "You read the mail of alice@example.org."
    assert "used before" in browser.post("/check", {"typed": code}).text
    assert Client(headers={"host": "localhost"}).post("/check", {"typed": code}).status_code == 410


@on("docs/how-to/sign-in-by-code.md")
def test_settings_and_urls_of_the_page_are_all_that_signing_in_takes(project, settings, alice):
    assert [*project.configure()] == [[], [], []]
    settings.ROOT_URLCONF = "bank.urls"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one.startswith("django.")]
    browser = Client(headers={"host": "localhost"})
    asked = browser.get("/", follow=True)
    assert "Linden Cooperative" in asked.text
    page = browser.post("/sign-in/", {"email": alice.email}, follow=True)
    assert mail.outbox[0].subject.startswith("Sign in at Linden Cooperative")
    browser.post(page.request["PATH_INFO"], {"code": newest_code()})
    assert browser.get("/").text == "alice"


@on("docs/how-to/sign-in-by-code.md")
def test_admin_is_entered_by_a_code(project, settings, alice):
    assert [*project.configure()] == [[], [], []]
    get_user_model().objects.update(is_staff=True, is_superuser=True)
    settings.ROOT_URLCONF = "bank.with_admin"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one.startswith("django.")]
    browser = Client(headers={"host": "localhost"})
    asked = browser.get("/admin/", follow=True)
    assert 'name="next" value="/admin/"' in asked.text
    page = browser.post("/sign-in/", {"email": alice.email, "next": "/admin/"}, follow=True)
    done = browser.post(page.request["PATH_INFO"], {"code": newest_code()})
    assert done["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert browser.get(reverse("login")).status_code == 200


@on("docs/how-to/sign-in-by-code.md")
def test_old_address_is_told_of_the_new_one(project, settings, alice):
    assert [*project.configure()] == [[], [], []]
    project.modules()
    settings.ROOT_URLCONF = "bank.urls"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one.startswith("django.")]
    browser = Client(headers={"host": "localhost"})
    browser.force_login(alice)
    page = browser.post("/sign-in/address", {"email": "new@example.org"}, follow=True)
    assert (
        "new@example.org" in browser.post(page.request["PATH_INFO"], {"code": newest_code()}).text
    )
    assert [one.to for one in mail.outbox] == [["new@example.org"], ["alice@example.org"]]


@on("docs/how-to/sign-in-by-code.md")
def test_user_is_made_as_the_page_has_it(project):
    made = project.modules().people.make("carol@example.org")
    assert (made.username, made.email) == ("carol", "carol@example.org")


@on("docs/how-to/sign-in-by-code.md")
def test_blocks_and_variables_of_the_pages_are_those_of_the_page(page):
    text = (ROOT / page).read_text()
    pages = ROOT / "src/otpmail/signin"
    found = [one.read_text() for one in pages.rglob("templates/**/*.html")]
    blocks = {name for one in found for name in re.findall(r"{% block (\w+) %}", one)}
    table = text[text.index("| block | of |") : text.index("The mail is made of")]
    told = [row.split("|")[1] for row in table.splitlines()[2:] if row]
    assert sorted(re.findall(r"`(\w+)`", "".join(told))) == sorted(blocks - {"facts"})
    style = (pages / "static/otpmail/signin.css").read_text()
    variables = set(re.findall(r"var\((--otpmail-\w[\w-]*)", style))
    assert set(re.findall(r"`(--otpmail-[\w-]+)`", text)) == variables


@on("docs/how-to/issue-and-verify.md")
def test_views_answer_each_result(project, post, alice):
    views = project.modules().views
    assert views.ask(post(email="nobody")).status_code == 400
    assert views.ask(post(email="new@example.org")).status_code == 200
    code = newest_code()
    assert views.check(post(code=other_than(code))).status_code == 400
    assert b"6 digits" in views.check(post()).content
    assert views.check(post(code=code)).status_code == 200
    alice.refresh_from_db()
    assert alice.email == "new@example.org"
    assert views.check(post(code=code)).status_code == 409


@on("docs/how-to/issue-and-verify.md")
def test_two_people_are_asked_at_once(project, alice):
    bob = get_user_model().objects.create_user("bob", email="bob@example.org")
    assert len(project.modules().payments.ask_both(alice, bob)) == 2
    assert {one.to[0] for one in mail.outbox} == {alice.email, bob.email}


@on("docs/how-to/issue-and-verify.md")
def test_code_is_typed_a_page_before_its_step(project, post, alice):
    modules = project.modules()
    modules.views.ask(post(email="new@example.org"))
    (issued,) = challenges.open(owner=str(alice.pk))
    asked = issued.challenge_id, newest_code(), str(alice.pk)
    assert isinstance(modules.two_pages.first_page(*asked), results.Held)
    done = modules.two_pages.second_page(issued.challenge_id, str(alice.pk))
    assert isinstance(done, results.Verified)
    alice.refresh_from_db()
    assert alice.email == "new@example.org"


@pytest.fixture
def transfer(project):
    """Write a transfer of the page's project down."""
    from bank.models import Transfer  # the page's own

    with connection.schema_editor() as editor:
        editor.create_model(Transfer)
    yield Transfer.objects.create(amount_minor=1250, currency="EUR", payee="acc-7")
    with connection.schema_editor() as editor:
        editor.delete_model(Transfer)


@on("docs/how-to/bind-a-code.md")
def test_bound_code_does_what_it_was_for(project, transfer, alice):
    assert [*project.configure()] == [[]]
    views, codes = project.modules().views, project.modules().codes
    views.ask(alice, transfer)
    done = views.check(alice, transfer, live_code(transfer.challenge_id))
    transfer.refresh_from_db()
    assert transfer.receipt == done.receipt
    assert receipts.check(
        transfer.receipt,
        challenge_id=transfer.challenge_id,
        purpose="transfer",
        owner=str(alice.pk),
        facts=codes.facts_of(transfer),
        confirmed_at=done.confirmed_at,
    )


@on("docs/how-to/bind-a-code.md")
def test_bound_code_is_good_for_nothing_else(project, transfer, alice):
    assert [*project.configure()] == [[]]
    views = project.modules().views
    views.ask(alice, transfer)
    code = live_code(transfer.challenge_id)
    type(transfer).objects.update(amount_minor=9999)
    ended = views.check(alice, transfer, code)
    assert (type(ended), ended.state) == (results.Ended, "changed")


@on("docs/how-to/before-sign-in.md")
def test_stranger_and_member_are_answered_alike_and_one_signs_in(project, settings, alice):
    assert [*project.configure()] == [[]]
    views = project.modules().views
    answers = {}
    for address in ("alice@example.org", "anna@example.org"):
        request = RequestFactory().post("/", {"email": address}, headers={"host": "localhost"})
        request.session = SessionStore()
        answers[address] = views.ask(request)
    told = [answer.content for answer in answers.values()]
    assert told[0] == told[1] == b"If a***@example.org is known here, a code is on its way."
    (sent,) = mail.outbox
    assert sent.to == ["alice@example.org"]


@on("docs/how-to/before-sign-in.md")
def test_right_code_signs_in(project, alice):
    assert [*project.configure()] == [[]]
    views, session = project.modules().views, SessionStore()

    def send(view, **data):
        request = RequestFactory().post("/", data, headers={"host": "localhost"})
        request.session = session
        return view(request)

    send(views.ask, email="alice@example.org")
    code = newest_code()
    assert send(views.check, code="1").status_code == 400
    wrong = f"{(int(code) + 1) % 10**8:08d}"
    assert b"4 guesses are left" in send(views.check, code=wrong).content
    assert send(views.check, code=code).content == b"You are signed in."
    assert session["_auth_user_id"] == str(alice.pk)


@on("docs/how-to/show-progress.md")
def test_progress_is_told_as_json(project, post, alice):
    request = post()
    issued = challenges.issue("new-address", owner=str(alice.pk), recipient=alice.email)
    request.session["challenge"] = str(issued.challenge_id)
    told = json.loads(project.modules().views.progress(request).content)
    assert (told["status"], told["next_step"]) == ("accepted", "type-code")
    request.session["challenge"] = None
    assert project.modules().views.progress(request).status_code == 404


@on("docs/how-to/limit.md")
def test_client_is_counted(project, post, settings):
    settings.OTPMAIL_CLIENT_QUOTA = [1, 1]
    views = project.modules().views
    assert isinstance(views.ask(post()), results.Issued)
    other = post()
    other.user = get_user_model()(pk=7, email="bob@example.org")
    assert views.ask(other).cap is results.Cap.CLIENT


@on("docs/how-to/test-your-project.md")
def test_tests_of_a_project_pass(project):
    assert [*project.configure()] == [[]]
    suite = unittest.defaultTestLoader.loadTestsFromModule(project.modules().tests)
    outcome = unittest.TestResult()
    suite.run(outcome)
    assert (outcome.testsRun, outcome.failures, outcome.errors) == (2, [], [])


@on("docs/how-to/write-an-engine.md")
def test_engine_of_the_page_sends_what_is_due(project, settings, pass_time):
    engines = project.modules().engines
    settings.OTPMAIL_ENGINE = "bank.engines.CronEngine"
    issued = challenges.issue("new-address", owner="alice", recipient="alice@example.org")
    dead = challenges.issue("new-address", owner="bob", recipient="bob@example.org")
    pass_time(dead.challenge_id, timedelta(hours=1).total_seconds())
    assert mail.outbox == []
    engines.send_what_is_due()
    engines.send_what_is_due()  # cron comes again
    assert [one.to for one in mail.outbox] == [["alice@example.org"]]
    assert Delivery.objects.get(challenge=issued.challenge_id).state == "accepted"
    assert Challenge.objects.get(pk=dead.challenge_id).state == "expired"


@on("docs/how-to/rotate-keys.md")
def test_key_service_makes_and_checks_codes(project, monkeypatch, settings):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    kms = project.modules().keys.kms
    with Stubber(kms) as service:  # looks at each request as the service's own model has it
        for _ in range(10):
            service.add_response("generate_mac", {"Mac": bytes(range(32))})
        assert [*project.configure()] == [[], []]
        settings.OTPMAIL_KEY_CLASS = "bank.keys.KmsKey"
        settings.OTPMAIL_KEYS = {"mine": "alias/otpmail"}  # others may have made keys of the page
        issued = challenges.issue("new-address", owner="alice", recipient="alice@example.org")
        code = live_code(issued.challenge_id)
        done = challenges.verify("new-address", issued.challenge_id, code, owner="alice")
    assert isinstance(done, results.Verified)
