"""The glossary has each module, class and column once; words that were given up stay away."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/glossary.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]
PLACES = {"src/otpmail": "otpmail", "mobile_api": "mobile_api", "coop_kiosk": "coop_kiosk"}
OF_DJANGO = re.compile(
    r"(^|\.)(admin|apps|asgi|gunicorn\.conf|models|settings|templatetags|urls|views|wsgi)$"
    r"|(^|\.)(migrations|commands)(\.|$)|^coop_kiosk\.celery$|^mobile_api\.management$|^otpmail$"
)
"""Modules whose names Django, gunicorn or Celery fix."""

BANNED = {
    "are_shut": "all_unavailable",
    "Asking": "ValidityCheck",
    "attempted": "rounds",
    "bell": "postgres_notify",
    "Care": "Maintenance",
    "cargo": "payload",
    "Cargo": "Payload",
    "Carrying": "CourierStep",
    "DEAD_MAIL_SECONDS": "LEAST_LIFE_SECONDS",
    "Declined": "ClaimBackoff",
    "Deed": "AuditAction",
    "DEVICE_RESERVE": "TRUSTED_DEVICE_QUOTA",
    "Errand": "Transmission",
    "FAILURE_BUDGET": "LOCKOUT_FAILURES",
    "FIT": "CAPABILITY",
    "Fitted": "PreparedMail",
    "Gate": "RateLimiter",
    "gates": "rate_limiters",
    "hand_over": "send",
    "hang_up": "close",
    "insist": "retry_on_database_error",
    "Keeper": "ChoreThread",
    "knock": "probe_sessions, ping",
    "Lane": "Queue",
    "lane": "queue",
    "Leave": "Permit",
    "Letter": "RenderedMessage",
    "most_together": "batch_size",
    "nudge": "wake",
    "outrun": "lost the hedge",
    "parcel": "serialization",
    "promised": "enqueued",
    "Proven": "StorableMail",
    "pulse": "stats",
    "Rarely": "OncePerMinute",
    "Reported": "DeliveryEvent",
    "reported_at": "event_at",
    "Resting": "SignInBackoff",
    "ring_itself": "notify_itself",
    "RoundEnd": "RoundResult",
    "SealedMail": "StoredMessage",
    "Shown": "ChallengeView",
    "Standing": "CircuitState",
    "Step": "NextStep",
    "still_wanted": "still_valid",
    "SUBJECT_LENGTH": "OWNER_LENGTH",
    "subject_mac": "owner_mac",
    "take_up": "claim_due",
    "telling": "deciding_attempt",
    "tries": "route_attempts, transport",
    "try": "route_attempt",
    "Try": "RouteAttempt",
    "unseal": "decrypt",
    "Verdict": "Disposition",
    "with_parent": "cascade_nullable",
    "Word": "MailStatus",
}
"""Names that were given up, with or without underscores around them, and what stands for them."""


def sources():
    for place, package in PLACES.items():
        for path in sorted((ROOT / place).rglob("*.py")):
            parts = [package, *path.relative_to(ROOT / place).with_suffix("").parts]
            yield ".".join(parts).removesuffix(".__init__"), path


def ours():
    """Give what the glossary must have: modules, classes that are not private, columns."""
    modules = {name for name, _ in sources() if not OF_DJANGO.search(name)}
    names = {name.removeprefix("otpmail.") for name in modules}
    for name, path in sources():
        if OF_DJANGO.search(name) and not name.endswith(".models"):
            continue
        names |= {
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        }
    for model in [*apps.get_app_config("otpmail").get_models(), *kiosk_models()]:
        names |= {field.name for field in model._meta.concrete_fields} - {"id"}
    return names


def kiosk_models():
    return apps.get_app_config("mobile_api").get_models()


def named():
    """Give the names of the page, of each line once: a module and a column may be one word."""
    return [name for _, cell, _ in ROWS for name in {*re.findall(r"`([\w.]+)`", cell)}]


def test_each_module_class_and_column_is_in_the_glossary():
    assert sorted(ours() - {*named()}) == []


def test_nothing_else_is_in_the_glossary():
    known = ours() | {name.removeprefix("otpmail.") for name, _ in sources()}
    assert sorted({*named()} - known) == []


def test_no_name_has_two_meanings():
    assert sorted({name for name in named() if named().count(name) > 1}) == []


def test_the_terms_are_in_order():
    terms = [term.lower() for term, _, _ in ROWS]
    assert [pair for pair in pairwise(terms) if pair[0] >= pair[1]] == []


def names_in(path):
    """Give the identifiers of a module, of whatever kind."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


@pytest.mark.parametrize("place", [*PLACES, "benchmarks", "demo"])
def test_no_name_comes_back_that_was_given_up(place):
    paths = (ROOT / place).rglob("*.py")
    found = [
        f"{path.relative_to(ROOT)}: {name} is {BANNED[name.strip('_')]}"
        for path in paths
        for name in sorted({*names_in(path)})
        if name.strip("_") in BANNED
    ]
    assert found == []
