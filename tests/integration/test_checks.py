"""Wrong settings are found at start, each by an id and with a remedy."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from otpmail.conf import PREFIX

pytestmark = pytest.mark.django_db  # Django's own checks ask the database what it can do


KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.fixture
def found(settings):
    def find(deploy=False):
        told = [m for m in run_checks(include_deployment_checks=deploy) if "otpmail" in str(m.id)]
        assert all(message.hint for message in told)
        return {message.id: message for message in told}

    return find


def test_the_kiosk_has_no_complaint(found):
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("DIGIT", 6, "E001"),
        ("DIGITS", "six", "E002"),
        ("DIGITS", True, "E002"),
        ("DIGITS", -1, "E002"),
        ("ROUTES", "default", "E002"),
        ("KEYS", ["key"], "E002"),
        ("RETRY_SECONDS", 2, "E002"),
        ("COURIERS", 0, "E002"),
        ("DIGITS", 3, "E002"),
        ("DIGITS", 12, "E002"),
        ("COOL_DOWN_SECONDS", (), "E002"),
        ("RETRY_SECONDS", ("2",), "E002"),
        ("KEYS", {"a": None}, "E002"),
        ("KEYS", {"k" * 51: KEY}, "E005"),
        ("PURPOSES", {"x": None}, "E002"),
        ("PURPOSES", {"x": {"LIFE_SECONDS": "600"}}, "E002"),
        ("PURPOSES", {"x": {"DIGITS": 12}}, "E002"),
        ("PURPOSES", {"x": {"LIFE_SECONDS": 100}}, "E009"),
        ("LEASE_SECONDS", 8, "E010"),
        ("ROUTES", ["nowhere"], "E003"),
        ("ROUTES", [], "E002"),
        ("DOMAIN_ROUTES", {"yahoo.*": ["nowhere"]}, "E003"),
        ("DOMAIN_ROUTES", {"yahoo.*": "default"}, "E002"),
        ("ROUTE_RATES", {"nowhere": {"AT_ONCE": 1}}, "E003"),
        ("ROUTE_RATES", {"default": {"PER_MINUTE": 1}}, "E030"),
        ("ROUTE_RATES", {"default": {"AT_ONCE": 0}}, "E002"),
        ("ROUTE_RATES", {"default": {"PER_SECOND": 0.5}}, "E002"),
        ("PURPOSES", {"x": {"ROUTES": ["nowhere"]}}, "E003"),
        ("PURPOSES", {"x": {"ROUTES": []}}, "E002"),
        ("CIRCUIT_FAULTS", 0, "E002"),
        ("HEDGE_AFTER", 0, "E002"),
        ("HEDGE_AFTER", 61, "E002"),
        ("HEDGE_AFTER", "soon", "E002"),
        ("HEDGE_AFTER", 2, "W030"),
        ("ENGINE", "otpmail.engines.nowhere.Engine", "E004"),
        ("ENGINE", "otpmail.conf.Settings", "E004"),
        ("KEYS", {"k": "short"}, "E005"),
        ("PURPOSES", {"transfer": {"DIGTS": 8}}, "E006"),
        ("PURPOSES", {"transfer": {"FACTS": "nowhere.facts"}}, "E007"),
        ("DEAD_MAIL_SECONDS", 600, "E009"),
    ],
)
def test_wrong_setting_is_an_error(settings, found, name, value, check):
    setattr(settings, PREFIX + name, value)
    assert f"otpmail.{check}" in found()


@pytest.mark.parametrize("value", ["auto", None, 0.5, 2])
def test_hedging_with_two_routes_is_no_mistake(settings, found, value):
    settings.MAILERS = {"default": settings.MAILERS["default"], "b": settings.MAILERS["default"]}
    settings.OTPMAIL_ROUTES = ["default", "b"]
    settings.OTPMAIL_HEDGE_AFTER = value
    assert found() == {}


def test_misspelt_name_is_told_the_right_one(settings, found):
    settings.OTPMAIL_ROUTE = ["default"]
    assert found()["otpmail.E001"].hint == "Did you mean OTPMAIL_ROUTES?"


def test_without_time_zones_nothing_works(settings, found):
    settings.USE_TZ = False
    assert "otpmail.E008" in found()


def test_keys_made_of_the_secret_key_are_a_warning_of_deployment(settings, found):
    assert "otpmail.W001" in found(deploy=True)
    settings.OTPMAIL_KEYS = {"k": KEY}
    assert "otpmail.W001" not in found(deploy=True)


def test_malformed_key_is_not_shown(settings, found):
    settings.OTPMAIL_KEYS = {"k": "not-so-secret"}
    assert "not-so-secret" not in str(found()["otpmail.E005"])
    settings.OTPMAIL_KEYS = "not-so-secret"
    assert "not-so-secret" not in str(found()["otpmail.E002"])


def test_django_backend_without_timeout_is_a_warning(settings, found):
    settings.MAILERS = {"default": {"OPTIONS": {"host": "localhost"}}}
    assert "otpmail.W002" in found()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="speaks of SQLite")
def test_sqlite_that_does_not_wait_for_its_writer_is_a_warning(found):
    options = connection.settings_dict["OPTIONS"]
    mode = options.pop("transaction_mode")
    try:
        assert "otpmail.W003" in found()
    finally:
        options["transaction_mode"] = mode


@pytest.mark.skipif(connection.vendor != "mysql", reason="speaks of MariaDB")
def test_mariadb_that_reads_an_old_snapshot_is_a_warning(found):
    assert "otpmail.W004" not in found()
    options = connection.settings_dict["OPTIONS"]
    options["isolation_level"] = "repeatable read"
    try:
        assert "otpmail.W004" in found()
    finally:
        del options["isolation_level"]
