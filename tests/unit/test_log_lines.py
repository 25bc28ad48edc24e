"""Each line of the log can be found by one word, and is one line."""

import ast
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import django
import pytest

from otpmail import signals
from otpmail.db import compat
from otpmail.outcomes import Kind, Outcome
from otpmail.runtime import logmails

SOURCE = Path(signals.__file__).parent
SMTP, MAILGUN = compat.OUR_SMTP, "anymail.backends.mailgun.EmailBackend"
METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


def lines() -> list[tuple[str, str]]:
    """Give what each call of a logger, and of `log_fault`, begins with; and where it stands."""
    return [
        (f"{path.name}:{node.lineno}", text)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and (text := text_of(node)) is not None
    ]


def text_of(call: ast.Call) -> str | None:
    match call.func:
        case ast.Attribute(value=ast.Name(id="log" | "logger"), attr=attr) if attr in METHODS:
            texts = call.args[attr == "log" :]
        case ast.Name(id="log_fault"):
            texts = call.args[1:]
        case _:
            return None
    match texts[0]:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return text
        case _:
            return None


def test_each_line_begins_with_the_word_to_search_for():
    made = lines()
    assert len(made) > 20
    passed_on = {"%s", "%s: %s"}
    assert [
        line for line in made if line[1] not in passed_on and not line[1].startswith("Email")
    ] == []


DELIVERY = {
    "pk": "d",
    "log_fields": "to=a***@example.org",
    "rounds": 1,
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "is_log_mail": False,
}


@pytest.mark.parametrize(
    ("receiver", "reason", "level"),
    [
        (signals._log_failed, "gave up", logging.ERROR),
        (signals._log_failed, "refused", logging.WARNING),
        (signals._log_dropped, "expired", logging.ERROR),
        (signals._log_dropped, "superseded", logging.WARNING),
        (signals._log_dropped, "confirmed", logging.WARNING),
    ],
)
@pytest.mark.parametrize("is_log_mail", [False, True])
def test_error_is_what_somebody_must_act_on(caplog, receiver, reason, level, is_log_mail):
    """A code that died in an outage is; a mistyped address is not, nor the log's own mail."""
    delivery = SimpleNamespace(**DELIVERY | {"reason": reason, "is_log_mail": is_log_mail})
    receiver(delivery=delivery, attempt=attempt())
    (record,) = caplog.records
    assert record.levelno == (logging.WARNING if is_log_mail else level)
    assert getattr(record, logmails.MARK) is is_log_mail


def test_each_line_of_a_route_names_its_server(caplog, settings):
    caplog.set_level(logging.DEBUG, "otpmail")
    settings.MAILERS = {
        "default": {
            "BACKEND": "otpmail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "mail.example.org", "port": 2525},
        }
    }
    delivery = SimpleNamespace(**DELIVERY | {"reason": "gave up"})
    outcome = Outcome(kind=Kind.TRANSIENT, reply="no")
    signals._log_accepted(delivery, attempt())
    signals._log_delayed(delivery, attempt(), 2)
    signals._log_next_route(delivery, attempt())
    signals._log_failed(delivery, attempt())
    signals._log_opened("default", outcome)
    signals._log_stays_open("default", outcome, asked=2)
    signals._log_closed("default")
    assert len(caplog.messages) == 7
    for line in caplog.messages:
        assert re.match(r"Email .* route=default server=mail\.example\.org:2525\b", line)


SERVERS = [
    ({"host": "mail.example"}, SMTP, "mail.example:25"),
    ({"host": "mail.example", "use_tls": True}, SMTP, "mail.example:587"),
    ({"host": "mail.example", "use_ssl": True}, SMTP, "mail.example:465"),
    ({"api_url": "https://user:secret@api.example/v3"}, MAILGUN, "api.example"),
    ({}, MAILGUN, MAILGUN),
]


@pytest.mark.skipif(django.VERSION < (6, 1), reason="the rest is of EMAIL_* there")
@pytest.mark.parametrize(("options", "backend", "named"), SERVERS)
def test_server_of_a_route_is_named_without_its_secrets(settings, options, backend, named):
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    assert compat.server_of("default") == named


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="EMAIL_* are of before MAILERS")
def test_server_of_older_settings_is_named(settings):
    settings.MAILERS, settings.EMAIL_BACKEND = {}, SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "mail.example", 26
    assert compat.server_of("default") == "mail.example:26"


def attempt():
    return SimpleNamespace(
        route="default", outcome="transient", started_at=DELIVERY["created_at"], took_ms=1, reply=""
    )


def test_handler_at_work_is_seen_from_far_below(caplog):
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(logmails.being_handled())

    log = logging.getLogger("otpmail.test")
    log.addHandler(handler := Handler())
    log.error("one")
    log.removeHandler(handler)
    ((record, *handed_on),) = seen[0]
    assert record.getMessage() == "one"
    assert set(handed_on) == {record}
    assert not logmails.is_nested(seen[0])
    assert logmails.is_nested(seen[0] * 2)
    assert logmails.being_handled() == []
