"""What a project lacks for the pages is told when it starts, with a remedy and a link."""

import pytest
from django.core.checks import run_checks

from otpmail.checks import address_of
from otpmail.signin import checks


def told():
    """Give what the pages' own checks tell."""
    return checks.check_signin()


def test_project_that_has_all_is_told_nothing():
    found = [one for one in run_checks() if one.is_serious()]
    assert [one.id for one in found if one.id.startswith("otpmail.")] == []
    assert told() == []


def without(name):
    return lambda values: [one for one in values if not one.endswith(name)]


@pytest.mark.parametrize(
    ("setting", "value", "check_id"),
    [
        ("INSTALLED_APPS", without("contrib.sessions"), "E034"),
        ("MIDDLEWARE", without("SessionMiddleware"), "E035"),
        ("MIDDLEWARE", without("AuthenticationMiddleware"), "E035"),
        ("INSTALLED_APPS", without("staticfiles"), "W015"),
        ("ROOT_URLCONF", lambda _: "tests.admin_urls", "W016"),
        ("LOGIN_URL", lambda _: "/accounts/login/", "W017"),
        ("OTPMAIL_SIGNIN_CLIENT", lambda _: "nowhere.client", "E038"),
        ("TEMPLATES", lambda values: [values[0] | {"APP_DIRS": False}], "E036"),
    ],
)
def test_what_is_missing_is_told(settings, setting, value, check_id):
    setattr(settings, setting, value(getattr(settings, setting, None)))
    found = [one for one in told() if one.id == f"otpmail.{check_id}"]
    assert found
    assert all(address_of(one.id) in one.hint for one in found)


def test_user_model_without_an_address_is_told(settings, monkeypatch):
    from django.contrib.auth import get_user_model

    monkeypatch.setattr(get_user_model(), "EMAIL_FIELD", "nowhere")
    assert [one.id for one in told()] == ["otpmail.E037"]


def test_user_who_needs_more_than_an_address_is_told(settings, monkeypatch):
    from django.contrib.auth import get_user_model

    monkeypatch.setattr(get_user_model(), "REQUIRED_FIELDS", ["email", "birthday"])
    assert told() == []
    settings.OTPMAIL_SIGNIN_SIGN_UP = True
    assert [one.id for one in told()] == ["otpmail.E039"]
    settings.OTPMAIL_SIGNIN_MAKE_USER = "tests.integration.signin.test_sign_up.make"
    assert told() == []


@pytest.mark.parametrize("name", ["SIGNIN_CLIENTS", "SIGNIN_SITE"])
def test_misspelt_setting_is_told(settings, name):
    setattr(settings, f"OTPMAIL_{name}", "x")
    assert "otpmail.E001" in [one.id for one in run_checks()]


def test_setting_of_another_type_is_told(settings):
    settings.OTPMAIL_SIGNIN_SITE_NAME = 1
    assert "otpmail.E002" in [one.id for one in run_checks()]
