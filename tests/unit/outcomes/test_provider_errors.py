from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from otpmail.outcomes import Blame, Kind, of_error, of_sent
from otpmail.outcomes.provider_errors import answer_of, names


def response(status, content=b"", **headers):
    made = requests.Response()
    made.status_code, made._content = status, content
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def http_error(status, content=b""):
    return requests.HTTPError("refused", response=response(status, content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"ErrorCode": 406, "Message": "inactive"}', 406),
        (
            b'{"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "send-0008"}]}]}',
            "send-0008",
        ),
        (b'{"errors": [{"message": "not valid", "field": "from.email"}]}', "from.email"),
        (b'{"status": "error", "code": -1, "name": "Invalid_Key"}', "Invalid_Key"),
        (b'{"code": "invalid_parameter", "message": "to"}', "invalid_parameter"),
        (b'{"code": 400, "message": "the status once more"}', ""),
        (b'{"errors": []}', ""),
        (b'"Forbidden"', ""),
        (b"<html>", ""),
        (b'{"code": "' + b"x" * 70_000 + b'"}', ""),
    ],
)
def test_reason_is_found_wherever_an_api_keeps_it(content, reason):
    assert answer_of(response(400, content)).reason == reason


def test_amazons_dict_is_read_like_a_response():
    told = {
        "Error": {"Code": "SendingPausedException", "Message": "paused"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"retry-after": "9"}},
    }
    answer = answer_of(told)
    assert (answer.status, answer.reason) == (400, "SendingPausedException")
    assert answer.retry_after_seconds == 9


@pytest.mark.parametrize("what", [None, {}, "text", object()])
def test_what_is_no_response_has_no_answer(what):
    assert answer_of(what) is None


@pytest.mark.parametrize("told", ["", "soon", "-3", "²", "Wed, 99 Nov 2026"])
def test_retry_after_in_no_form_is_none(told):
    assert answer_of(response(429, Retry_After=told)).retry_after_seconds is None


def test_retry_after_may_be_a_date():
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < answer_of(response(429, retry_after=in_a_minute)).retry_after_seconds <= 60


def test_error_that_caused_itself_is_named_once():
    error = ValueError("round")
    error.__cause__ = KeyError("and")
    error.__cause__.__cause__ = error
    assert {"builtins.ValueError", "builtins.KeyError"} <= names(error)


@pytest.mark.parametrize(
    ("status", "content", "kind", "blame"),
    [
        (400, b"{}", Kind.PERMANENT, Blame.MAIL),
        (413, b"", Kind.PERMANENT, Blame.FIT),
        (422, b'{"ErrorCode": 300}', Kind.PERMANENT, Blame.MAIL),
        (422, b'{"ErrorCode": 405, "Message": "no credit"}', Kind.PERMANENT, Blame.ROUTE),
        (400, b'{"errors": [{"field": "from.email"}]}', Kind.PERMANENT, Blame.ROUTE),
        (500, b'{"name": "Invalid_Key"}', Kind.PERMANENT, Blame.ROUTE),
        (402, b"", Kind.PERMANENT, Blame.ROUTE),
        (301, b"", Kind.PERMANENT, Blame.ROUTE),
        (408, b"", Kind.TRANSIENT, Blame.ROUTE),
        (502, b"<html>", Kind.TRANSIENT, Blame.ROUTE),
    ],
)
def test_fault_of_sender_or_account_is_told_from_the_mails(status, content, kind, blame):
    outcome = of_error(http_error(status, content), sending=True)
    assert (outcome.kind, outcome.blame, outcome.code) == (kind, blame, status)


class Status:
    """Like Anymail's."""

    def __init__(self, *told, response=None):
        self.status, self.message_id, self.esp_response = set(told), "<1@p>", response


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (None, Kind.ACCEPTED),
        (Status("queued"), Kind.ACCEPTED),
        (Status("sent"), Kind.ACCEPTED),
        (Status("unknown"), Kind.ACCEPTED),
        (Status("invalid"), Kind.PERMANENT),
        (Status("rejected"), Kind.PERMANENT),
        (Status("failed", response=response(200)), Kind.UNKNOWN),
        (Status("failed", response=response(400)), Kind.PERMANENT),
        (Status("failed", response=response(503)), Kind.TRANSIENT),
    ],
)
def test_mail_that_nothing_was_raised_for_may_be_refused(status, kind):
    assert of_sent(status).kind is kind
