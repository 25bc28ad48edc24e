"""No report of a fault shows a code, a token or a nonce, wherever in our code it arises.

The way is walked once to see which functions run; then again for each, and it raises there. What is
read is Django's own report, as it is mailed to a project's administrators.
"""

import logging
import re
import sys
from contextlib import contextmanager
from html import escape
from pathlib import Path
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.test import Client
from django.views.debug import ExceptionReporter

import mobile_api
import otpmail
from mobile_api import auth
from otpmail import challenges
from otpmail.models import Challenge
from otpmail.testing import live_code
from tests import tries
from tests.rounds import carry, other_than, promise

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

OURS = tuple(str(Path(package.__file__).parent) for package in (otpmail, mobile_api))
BEFORE = re.compile("otpmail/apps.py|otpmail/engines/(?!enqueue)")
"""Called before there is a request whose faults Django reports, and handed ids alone."""

NOT_THERE = re.compile(r"/tests/|django/test/")


class Secret:
    """Something that no frame of the test itself shows."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class BoomError(Exception):
    """Raised in the middle of it."""


TOOL = 3
"""A number of `sys.monitoring` that no tool has by custom. What is not watched costs nothing."""


@contextmanager
def monitoring(event, callback):
    sys.monitoring.use_tool_id(TOOL, __name__)
    sys.monitoring.register_callback(TOOL, event, callback)
    try:
        yield
    finally:
        sys.monitoring.set_events(TOOL, 0)
        sys.monitoring.register_callback(TOOL, event, None)
        sys.monitoring.free_tool_id(TOOL)


def is_ours(code):
    ours = code.co_filename.startswith(OURS) and not BEFORE.search(code.co_filename)
    return ours and not code.co_name.startswith("<")


def functions_of(way):
    seen = {}

    def begins(code, offset):
        if is_ours(code):
            seen[f"{code.co_filename}:{code.co_firstlineno}:{code.co_name}"] = code
        return sys.monitoring.DISABLE

    with monitoring(sys.monitoring.events.PY_START, begins):
        sys.monitoring.restart_events()
        sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_START)
        way()
    return [seen[name] for name in sorted(seen)]


def reports_of(way, function):
    """Walk it, raise at the end of this function, and read each report that comes of it."""
    reports = []
    raised = []

    def at_its_end(code, offset, value):
        del value  # this frame is in the report as well
        if not raised:
            raised.append(code)
            raise BoomError

    handler = logging.Handler()
    handler.emit = lambda record: record.exc_info and reports.append(read(record))
    logging.getLogger().addHandler(handler)
    try:
        with monitoring(sys.monitoring.events.PY_RETURN, at_its_end):
            sys.monitoring.set_local_events(TOOL, function, sys.monitoring.events.PY_RETURN)
            try:
                way()
            finally:
                sys.monitoring.set_local_events(TOOL, function, 0)
    except Exception:  # noqa: BLE001 - or what became of it
        reports.append(report(*sys.exc_info()))
    finally:
        logging.getLogger().removeHandler(handler)
    return reports


def read(record):
    return report(*record.exc_info, request=getattr(record, "request", None))


def report(kind, error, traceback, request=None):
    while traceback.tb_next and NOT_THERE.search(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next  # what a site has no frames of
    reporter = ExceptionReporter(request, kind, error, traceback, is_email=True)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def check(make_way):
    """Let each function of a way raise. Each walk begins anew, with secrets of its own."""
    way, _ = make_way()
    functions = functions_of(way)
    assert len(functions) > 5
    read = 0
    for function in functions:
        way, secrets = make_way()
        for text in reports_of(way, function):
            read += 1
            for secret in secrets:
                shown = [escape(secret.value), secret.value]
                where = [text[max(0, at - 200) : at] for s in shown if (at := text.find(s)) >= 0]
                assert not where, (function, where)
    assert read


@pytest.fixture(autouse=True)
def _long(settings):
    settings.OTPMAIL_DIGITS = settings.OTPMAIL_LONG_DIGITS = 10
    settings.OTPMAIL_ROUTE_RATES = {}  # a change of it forgets which routes the last test shut


def nonce_of(challenge_id):
    nonce = bytes(Challenge.objects.get(pk=challenge_id).nonce)
    return Secret(repr(nonce)[2:-1])


def typed(kind):
    def make():
        mail.outbox.clear()
        owner = uuid4().hex
        issued = promise(owner=owner)
        code = live_code(issued.challenge_id)
        secrets = [Secret(code), nonce_of(issued.challenge_id), Secret(other_than(code).zfill(10))]
        what = secrets[0] if kind == "right" else secrets[2]

        def way():
            challenges.verify("sign-in", issued.challenge_id, what.value, owner=owner)

        return way, secrets

    return make


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_of_what_is_typed(kind):
    check(typed(kind))


def test_of_what_is_typed_in_an_async_view():
    def make():
        issued = promise(owner="async")
        code = Secret(live_code(issued.challenge_id))

        async def view():
            await challenges.averify("sign-in", issued.challenge_id, code.value, owner="async")

        return async_to_sync(view), [code, nonce_of(issued.challenge_id)]

    check(make)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_of_what_is_mailed(settings):
    settings.OTPMAIL_ENGINE = "tests.engines.Deaf"

    def make():
        Challenge.objects.all().delete()
        issued = promise()
        code = live_code(issued.challenge_id)
        return carry, [Secret(code), nonce_of(issued.challenge_id)]

    check(make)
    tries.wait_for_their_end()  # whichever function it was, nobody waits for ever


def test_of_a_cancel_link(settings):
    settings.OTPMAIL_BASE_URL = "https://bank.example"

    def make():
        mail.outbox.clear()
        promise()
        path, _, token = re.search(r"https://bank.example(\S+)", mail.outbox[0].body)[1].partition(
            "#"
        )
        token = Secret(token)

        client = Client(headers={"host": "localhost"}, raise_request_exception=False)

        def way():
            client.post(path, {"token": token.value})

        return way, [token]

    check(make)


def test_of_a_sign_in_and_of_a_code_that_is_sent_to_the_api(alice, bob):
    alice.client.raise_request_exception = False

    def make():
        mail.outbox.clear()
        transfer = alice.transfer(bob, 1)
        code, bearer = Secret(alice.code(transfer)), Secret(alice.token)

        def way():
            alice.client.post(
                f"/api/v1/transfers/{transfer['id']}/confirm",
                {"code": code.value},
                "application/json",
                headers={"authorization": f"Bearer {bearer.value}"},
            )

        return way, [code, bearer]

    check(make)


def test_of_a_pin(alice):
    pin = Secret("2468-of-alice-13579")

    def make():
        def way():
            auth.sign_in(alice.member.number, pin.value, auth.Client())

        return way, [pin]

    check(make)
