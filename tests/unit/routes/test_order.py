"""Which route comes first."""

import pytest
from django.core.mail import EmailMessage

from otpmail.routes import known, order


def first(routes, to="Alice <alice@example.org>", **options):
    return order.ordered(routes, EmailMessage(to=[to]), **options)


def test_order_is_that_of_the_setting():
    assert first(["a", "b", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("to", "routes"),
    [
        ("a@yahoo.co.uk", ["b", "a", "c"]),
        ("A <a@YAHOO.com>", ["b", "a", "c"]),
        ("a@notyahoo.com", ["a", "b", "c"]),
        ("a@mail.example.org", ["c", "b", "a"]),
    ],
)
def test_domain_puts_its_routes_first(settings, to, routes):
    settings.OTPMAIL_DOMAIN_ROUTES = {
        "Yahoo.*": ["b"],
        "*.example.org": ["c", "b"],
        "mail.*": ["a"],
    }
    assert first(["a", "b", "c"], to) == routes


@pytest.mark.parametrize("pattern", ["straße.example", "XN--STRAE-OQA.example", "*.example"])
@pytest.mark.parametrize(
    "to", ["a@straße.example", "A <a@STRAßE.example>", "a@xn--strae-oqa.example"]
)
def test_rule_and_recipient_name_a_domain_however_it_is_spelt(settings, pattern, to):
    settings.OTPMAIL_DOMAIN_ROUTES = {"strasse.example": ["c"], pattern: ["b"]}
    assert first(["a", "b", "c"], to) == ["b", "a", "c"]


@pytest.mark.parametrize("to", ["no address", "", "a@\u2028", "webmaster"])
def test_who_has_no_domain_has_no_rule(settings, to):
    settings.OTPMAIL_DOMAIN_ROUTES = {"stra*ße.de": ["c"], "?*": ["b"]}
    assert first(["a", "b", "c"], to) == ["a", "b", "c"]


def test_domain_adds_no_route_that_the_mail_may_not_take(settings):
    settings.OTPMAIL_DOMAIN_ROUTES = {"yahoo.*": ["b"]}
    assert first(["a"], "a@yahoo.com") == ["a"]


def test_routes_to_avoid_come_last_the_worst_at_the_end(settings):
    settings.OTPMAIL_DOMAIN_ROUTES = {"example.org": ["b"]}
    assert first(["a", "b", "c"], avoid=["b"]) == ["a", "c", "b"]
    assert first(["a", "b", "c"], avoid=["c", "a", "b"]) == ["c", "a", "b"]
    assert first(["a"], avoid=["a"]) == ["a"]


def test_routes_of_purposes_are_known_too(settings):
    settings.OTPMAIL_ROUTES = ["a"]
    settings.OTPMAIL_PURPOSES = {"x": {"ROUTES": ["b", "a"]}, "y": {}}
    assert known() == ["a", "b"]
