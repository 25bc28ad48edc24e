"""Providers' HTTP APIs on this machine: each answers as its provider's documentation says.

A `StandIn` takes a request apart as its provider would, refuses a wrong key and an address of
``invalid.example``, and keeps what it took. A test may give it a `fault` to answer with instead.
"""

import base64
import contextlib
import email
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

KEY = "key-of-the-tests"
INVALID = "nobody@invalid.example"
SES_SESSION = {
    "aws_access_key_id": KEY,
    "aws_secret_access_key": "secret",
    "region_name": "eu-west-1",
}


@dataclass
class Taken:
    """A mail as a provider understood it."""

    to: str
    text: str
    html: str
    headers: dict[str, str]
    metadata: dict[str, str]

    def __post_init__(self) -> None:
        self.headers = {name.lower(): value for name, value in self.headers.items()}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Api:
    """One provider: how Anymail is pointed at it, and what its documentation says."""

    name: str
    path: str
    options: Callable[[str], dict[str, Any]]
    key: tuple[str, str]
    """The header that must hold the key, and what it must hold."""
    read: Callable[[bytes], Taken]
    accepted: Callable[[Taken], Answer]
    refused: Answer
    unauthorised: Answer
    wrong_key: dict[str, Any]
    """Options that the provider does not let in."""
    own_backend: str = ""

    @property
    def backend(self) -> str:
        return self.own_backend or f"anymail.backends.{self.name}.EmailBackend"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _sendgrid(body: bytes) -> Taken:
    data = json.loads(body)
    content = {part["type"]: part["value"] for part in data["content"]}
    (personal,) = data["personalizations"]
    (to,) = personal["to"]
    return Taken(
        to["email"], content["text/plain"], content["text/html"], data["headers"],
        data["custom_args"],
    )  # fmt: skip


def _mailgun(body: bytes) -> Taken:
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    named = {
        sort: {n.removeprefix(sort): v for n, v in form.items() if n.startswith(sort)}
        for sort in ("h:", "v:")
    }
    return Taken(form["to"], form["text"], form["html"], named["h:"], named["v:"])


def _ses(body: bytes) -> Taken:
    data = json.loads(body)
    (to,) = data["Destination"]["ToAddresses"]
    raw = base64.b64decode(data["Content"]["Raw"]["Data"])
    mail = email.message_from_bytes(raw, policy=policy.default)
    text, html = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    headers = {name: str(value) for name, value in mail.items()}
    return Taken(to, text, html, headers, json.loads(headers["X-Metadata"]))


def _postmark(body: bytes) -> Taken:
    data = json.loads(body)
    headers = {header["Name"]: header["Value"] for header in data["Headers"]}
    return Taken(data["To"], data["TextBody"], data["HtmlBody"], headers, data["Metadata"])


def _brevo(body: bytes) -> Taken:
    data = json.loads(body)
    (to,) = data["to"]
    metadata = json.loads(data["headers"]["X-Mailin-custom"])
    return Taken(to["email"], data["textContent"], data["htmlContent"], data["headers"], metadata)


def _mailjet(body: bytes) -> Taken:
    data = json.loads(body)
    (message,), shared = data["Messages"], data["Globals"]
    (to,) = message["To"]
    metadata = json.loads(shared["EventPayload"])
    return Taken(to["Email"], shared["TextPart"], shared["HTMLPart"], shared["Headers"], metadata)


def _mailjet_answer(taken: Taken) -> Answer:
    if {"message-id", "date"} & set(taken.headers):
        return _mailjet_error("send-0011", "Header cannot be customized", "Headers")
    told = {"Email": taken.to, "MessageUUID": "1ab2", "MessageID": 456, "MessageHref": ""}
    return Answer(200, {"Messages": [{"Status": "success", "To": [told], "Cc": [], "Bcc": []}]})


def _mailjet_error(code: str, words: str, where: str) -> Answer:
    error = {
        "ErrorIdentifier": "f987008f-251a-4dff-8ffc-40f1583ad7bc",
        "ErrorCode": code,
        "StatusCode": 400,
        "ErrorMessage": words,
        "ErrorRelatedTo": [where],
    }
    return Answer(400, {"Messages": [{"Status": "error", "Errors": [error]}]})


def _resend(body: bytes) -> Taken:
    data = json.loads(body)
    (to,) = data["to"]
    headers = data["headers"]
    return Taken(to, data["text"], data["html"], headers, json.loads(headers["X-Metadata"]))


APIS = [
    Api(
        name="sendgrid",
        path="/mail/send",
        options=lambda url: {"api_key": KEY, "api_url": url},
        key=("Authorization", f"Bearer {KEY}"),
        wrong_key={"api_key": "wrong"},
        read=_sendgrid,
        accepted=lambda _: Answer(202, None, {"X-Message-Id": "14c5d75ce93"}),
        refused=Answer(
            400,
            {
                "errors": [
                    {
                        "message": "Does not contain a valid address.",
                        "field": "personalizations.0.to.0.email",
                        "help": None,
                    }
                ]
            },
        ),
        unauthorised=Answer(
            401,
            {
                "errors": [
                    {
                        "message": "The provided authorization grant is invalid",
                        "field": None,
                        "help": None,
                    }
                ]
            },
        ),
    ),
    Api(
        name="mailgun",
        path="/example.org/messages",
        options=lambda url: {"api_key": KEY, "api_url": url},
        key=("Authorization", basic("api", KEY)),
        wrong_key={"api_key": "wrong"},
        read=_mailgun,
        accepted=lambda _: Answer(
            200, {"id": "<20260306015544.1163@example.org>", "message": "Queued. Thank you."}
        ),
        refused=Answer(
            400, {"message": "to parameter is not a valid address. please check documentation"}
        ),
        unauthorised=Answer(401, "Forbidden"),
    ),
    Api(
        name="amazon_ses",
        path="/v2/email/outbound-emails",
        options=lambda url: {
            "session_params": SES_SESSION,
            "client_params": {
                "endpoint_url": url,
                "config": {
                    "connect_timeout": 3,
                    "read_timeout": 10,
                    "retries": {"total_max_attempts": 1},
                },
            },
        },
        key=("Authorization", f"AWS4-HMAC-SHA256 Credential={KEY}/"),
        wrong_key={"session_params": {**SES_SESSION, "aws_access_key_id": "wrong"}},
        read=_ses,
        accepted=lambda _: Answer(200, {"MessageId": "0102018f-a1b2-000000"}),
        refused=Answer(
            400,
            {"message": "Invalid recipient address"},
            {"x-amzn-ErrorType": "BadRequestException"},
        ),
        unauthorised=Answer(
            403,
            {"message": "The security token included in the request is invalid."},
            {"x-amzn-ErrorType": "UnrecognizedClientException"},
        ),
    ),
    Api(
        name="postmark",
        path="/email",
        options=lambda url: {"server_token": KEY, "api_url": url},
        key=("X-Postmark-Server-Token", KEY),
        wrong_key={"server_token": "wrong"},
        read=_postmark,
        accepted=lambda taken: Answer(
            200,
            {
                "To": taken.to,
                "SubmittedAt": "2026-11-24T07:25:01.4178645-05:00",
                "MessageID": "0a129aee-e1cd-480d-b08d-4f48548ff48d",
                "ErrorCode": 0,
                "Message": "OK",
            },
        ),
        refused=Answer(
            422,
            {
                "ErrorCode": 406,
                "Message": "You tried to send to a recipient that has been marked as inactive.\n"
                f"Found inactive addresses: {INVALID}.\nInactive recipients are ones that have "
                "generated a hard bounce or a spam complaint.",
            },
        ),
        unauthorised=Answer(
            401, {"ErrorCode": 10, "Message": "No Account or Server API tokens were supplied."}
        ),
    ),
    Api(
        name="brevo",
        path="/smtp/email",
        options=lambda url: {"api_key": KEY, "api_url": url},
        key=("api-key", KEY),
        wrong_key={"api_key": "wrong"},
        read=_brevo,
        accepted=lambda _: Answer(201, {"messageId": "<201906041124.60@smtp-relay.example>"}),
        refused=Answer(400, {"code": "invalid_parameter", "message": "email is not valid in to"}),
        unauthorised=Answer(401, {"code": "unauthorized", "message": "Key not found"}),
    ),
    Api(
        name="mailjet",
        own_backend="otpmail.backends.mailjet.EmailBackend",
        path="/send",
        options=lambda url: {"api_key": KEY, "secret_key": "secret", "api_url": url},
        key=("Authorization", basic(KEY, "secret")),
        wrong_key={"api_key": "wrong"},
        read=_mailjet,
        accepted=_mailjet_answer,
        refused=_mailjet_error("mj-0013", "is an invalid email address.", "To[0].Email"),
        unauthorised=Answer(
            401,
            {
                "ErrorIdentifier": "06df1144-c6f3-4ca7-8885-7ec5d4344113",
                "ErrorCode": "mj-0002",
                "ErrorMessage": "API key authentication/authorization failure.",
                "StatusCode": 401,
            },
        ),
    ),
    Api(
        name="resend",
        path="/emails",
        options=lambda url: {"api_key": KEY, "api_url": url},
        key=("Authorization", f"Bearer {KEY}"),
        wrong_key={"api_key": "wrong"},
        read=_resend,
        accepted=lambda _: Answer(200, {"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}),
        refused=Answer(
            422,
            {
                "statusCode": 422,
                "name": "validation_error",
                "message": "Invalid `to` field. The email address needs to follow the format.",
            },
        ),
        unauthorised=Answer(
            401,
            {"statusCode": 401, "name": "missing_api_key", "message": "Missing API key"},
        ),
    ),
]


class Slow:
    """Read the request, and answer after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Drop:
    """Read the request, and close the connection without a word."""


class StandIn:
    """One provider's API, on a port of its own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.fault: Answer | Slow | Drop | None = None
        self.taken: list[Taken] = []
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        if isinstance(self.fault, Drop):
            handler.connection.shutdown(socket.SHUT_RDWR)
            return None
        if isinstance(self.fault, Slow):
            time.sleep(self.fault.seconds)
        elif self.fault is not None:
            return self.fault
        name, held = self.api.key
        if handler.path != self.api.path:
            return Answer(404, {"message": "not found"})
        if not handler.headers.get(name, "").startswith(held):
            return self.api.unauthorised
        taken = self.api.read(body)
        if taken.to == INVALID:
            return self.api.refused
        answer = self.api.accepted(taken)
        if answer.status < 300:
            self.taken.append(taken)
        return answer

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            stand_in.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = stand_in.answer(self, body)
            self.close_connection = answer is None
            if answer is not None:
                self._say(answer)

        def _say(self, answer: Answer) -> None:
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler


@contextlib.contextmanager
def standing_in(api: Api) -> Iterator[StandIn]:
    """Serve until the ``with`` block ends."""
    stand_in = StandIn(api)
    thread = threading.Thread(target=stand_in.serve, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.stop()
        thread.join(5)
