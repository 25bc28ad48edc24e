import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from otpmail.outcomes import Blame, Kind, of_error, of_sent
from otpmail.outcomes.provider_errors import names, response_of


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
    assert response_of(response(400, content)).reason == reason


def test_amazons_dict_is_read_like_a_response():
    told = {
        "Error": {"Code": "SendingPausedException", "Message": "paused"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"retry-after": "9"}},
    }
    answer = response_of(told)
    assert (answer.status, answer.reason) == (400, "SendingPausedException")
    assert answer.retry_after_seconds == 9


@pytest.mark.parametrize("what", [None, {}, "text", object()])
def test_what_is_no_response_has_no_answer(what):
    assert response_of(what) is None


@pytest.mark.parametrize("told", ["", "soon", "-3", "²", "Wed, 99 Nov 2026"])
def test_retry_after_in_no_form_is_none(told):
    assert response_of(response(429, Retry_After=told)).retry_after_seconds is None


def test_retry_after_of_many_digits_is_a_number():
    assert response_of(response(503, Retry_After="9" * 400)).retry_after_seconds == 10**9


def test_retry_after_may_be_a_date():
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < response_of(response(429, retry_after=in_a_minute)).retry_after_seconds <= 60


def test_error_that_caused_itself_is_named_once():
    error = ValueError("round")
    error.__cause__ = KeyError("and")
    error.__cause__.__cause__ = error
    assert {"builtins.ValueError", "builtins.KeyError"} <= names(error)


@pytest.mark.parametrize(
    ("status", "content", "kind", "blame"),
    [
        (400, b"{}", Kind.PERMANENT, Blame.MAIL),
        (413, b"", Kind.PERMANENT, Blame.CAPABILITY),
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


def amazon(name, words=""):
    return {
        "Error": {"Code": name, "Message": words},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {}},
    }


OF_ROUTE, OF_SENDER = (Kind.PERMANENT, "route"), (Kind.PERMANENT, "sender")
OF_MAIL, PASSES, LASTS = (Kind.PERMANENT, "mail"), (Kind.TRANSIENT, "route"), "lasts"

TOLD = [
    *((amazon(name), PASSES) for name in ("ThrottlingException", "Throttling", "SlowDown")),
    *(
        (amazon(name), LASTS)
        for name in (
            *("ExpiredTokenException", "RequestExpired", "IncompleteSignature"),
            *("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"),
        )
    ),
    (amazon("MessageRejected", "Email address is not verified. The identities"), OF_SENDER),
    (amazon("BadRequestException", "Missing final '@domain'"), OF_MAIL),
    # MailerSend
    ((422, {"message": "x", "errors": {"from.email": ["must be verified"]}}), OF_SENDER),
    ((422, {"message": "x", "errors": {"to.0.email": ["is blocked"]}}), OF_MAIL),
    ((422, {"message": "You have reached trial account limit", "errors": {}}), OF_ROUTE),
    # SparkPost
    ((400, {"errors": [{"message": "Invalid domain", "code": "7001"}]}), OF_SENDER),
    ((400, {"errors": [{"description": "Unconfigured Sending Domain <x>"}]}), OF_SENDER),
    ((420, {"errors": [{"message": "Exceed Sending Limit (hourly)", "code": "2101"}]}), PASSES),
    # Mailgun
    ((400, {"message": "'from' parameter is not a valid address. please check"}), OF_SENDER),
    ((400, {"message": "'to' parameter is not a valid address. please check"}), OF_MAIL),
    ((400, {"message": "Sandbox subdomains are for test purposes only."}), OF_ROUTE),
    # Brevo, Mailtrap, Resend
    ((400, {"code": "invalid_parameter", "message": "sender is not valid"}), OF_SENDER),
    ((400, {"code": "invalid_parameter", "message": "email is not valid in to"}), OF_MAIL),
    ((400, {"success": False, "errors": ["'from' domain not verified"]}), OF_SENDER),
    ((400, {"name": "validation_error", "message": "API key is invalid"}), OF_ROUTE),
    ((422, {"name": "invalid_access", "message": "x"}), LASTS),
    # Postmark
    ((422, {"ErrorCode": 300, "Message": "Invalid 'From' address: 'x'."}), OF_SENDER),
    ((422, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'x'."}), OF_MAIL),
    ((422, {"ErrorCode": 1235, "Message": "The 'MessageStream' does not exist"}), OF_ROUTE),
    ((422, {"ErrorCode": 406, "Message": "inactive: a hard bounce, a spam complaint"}), OF_MAIL),
    # SendGrid, Mandrill, Postal
    ((400, {"errors": [{"message": "x", "field": "template_id"}]}), OF_ROUTE),
    ((400, {"errors": [{"message": "x", "field": "personalizations.0.to.0.email"}]}), OF_MAIL),
    ((200, {"status": "error", "data": {"code": "UnauthenticatedFromAddress"}}), OF_SENDER),
    # Who types an address chooses no words
    ((400, {"message": "not good: spam@blocked.sandbox.example"}), OF_MAIL),
]


@pytest.mark.parametrize(("told", "meant"), TOLD)
def test_api_that_blames_sender_account_or_key_is_understood(told, meant):
    given = told if isinstance(told, dict) else response(told[0], json.dumps(told[1]).encode())
    error = requests.HTTPError("refused")
    error.response = given
    outcome = of_error(error, sending=True)
    if meant is LASTS:
        assert outcome.is_lasting
        meant = OF_ROUTE
    blamed = "sender" if outcome.is_of_sender else outcome.blame.value
    assert (outcome.kind, blamed) == meant


@pytest.mark.parametrize(
    ("reason", "blame"),
    [
        ("unsigned", Blame.ROUTE),
        ("invalid-sender", Blame.ROUTE),
        ("hard-bounce", Blame.MAIL),
        ("spam", Blame.MAIL),
    ],
)
def test_mandrill_says_in_an_accepted_answer_why_it_takes_no_mail(reason, blame):
    body = json.dumps([{"status": "rejected", "reject_reason": reason}]).encode()
    outcome = of_sent(Status("rejected", response=response(200, body)))
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, blame)


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
