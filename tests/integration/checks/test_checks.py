"""Wrong settings are found at start, each by an id and with a remedy."""

import base64
import logging
import subprocess
import sys

import django
import pytest
from django.core.checks import run_checks
from django.core.management import get_commands
from django.db import connection
from django.utils.log import AdminEmailHandler

from coop_kiosk import celery_app
from otpmail.backends.outbox import BACKEND as OUTBOX
from otpmail.checks import address_of, routes
from otpmail.conf import PREFIX
from otpmail.crypto import keys
from otpmail.db import compat
from otpmail.smtp.session import Timeouts
from tests import mailserver

pytestmark = pytest.mark.django_db  # Django's own checks ask the database what it can do


KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


WITHOUT_CELERY = """
import sys
sys.modules["celery"] = None
import django
django.setup()
from django.core.management import call_command
call_command("check")
"""


@pytest.fixture
def found(settings):
    def find(deploy=False):
        told = [m for m in run_checks(include_deployment_checks=deploy) if "otpmail" in str(m.id)]
        assert all(message.hint.endswith(f"See {address_of(message.id)}") for message in told)
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
        ("MAIL_COURIERS", 0, "E002"),
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
        ("LEASE_SECONDS", 2, "E010"),
        ("ROUTES", ["nowhere"], "E003"),
        ("ROUTES", [], "E002"),
        ("DOMAIN_ROUTES", {"yahoo.*": ["nowhere"]}, "E003"),
        ("DOMAIN_ROUTES", {"yahoo.*": "default"}, "E002"),
        ("ROUTE_RATES", {"nowhere": {"AT_ONCE": 1}}, "E003"),
        ("ROUTE_RATES", {"default": {"PER_MINUTE": 1}}, "E014"),
        ("ROUTE_RATES", {"default": {"AT_ONCE": 0}}, "E002"),
        ("ROUTE_RATES", {"default": {"PER_SECOND": 0.5}}, "E002"),
        ("PURPOSES", {"x": {"ROUTES": ["nowhere"]}}, "E003"),
        ("PURPOSES", {"x": {"ROUTES": []}}, "E002"),
        ("CIRCUIT_FAULTS", 0, "E002"),
        ("HEDGE_AFTER", 0, "E002"),
        ("HEDGE_AFTER", 61, "E002"),
        ("HEDGE_AFTER", "soon", "E002"),
        ("HEDGE_AFTER", 2, "W007"),
        ("ENGINE", "otpmail.engines.nowhere.Engine", "E004"),
        ("ENGINE", "otpmail.conf.Settings", "E004"),
        ("KEYS", {"k": "short"}, "E005"),
        ("REVOKED_KEYS", "old", "E002"),
        ("KEY_CLASS", "otpmail.nowhere.Key", "E015"),
        ("KEY_CLASS", "otpmail.conf.Settings", "E015"),
        ("BASE_URL", "bank.example", "E016"),
        ("BASE_URL", "https://bank.example/codes/", "E016"),
        ("PURPOSES", {"transfer": {"DIGTS": 8}}, "E006"),
        ("PURPOSES", {"transfer": {"FACTS": "nowhere.facts"}}, "E007"),
        ("LEAST_LIFE_SECONDS", 600, "E009"),
        ("RECIPIENT_QUOTA", (10,), "E018"),
        ("LOCKOUT_FAILURES", (20, 10), "E018"),
        ("CLIENT_QUOTA", (0, 10), "E002"),
        ("LOCKOUT_SECONDS", (), "E018"),
        ("OPEN_CHALLENGES", 0, "E002"),
        ("ROTATE", "yes", "E002"),
        ("PURPOSES", {"x": {"BEFORE_SIGN_IN": 1}}, "E002"),
        ("LONG_DIGITS", 5, "E019"),
        ("METRICS_TOKEN", "fifteen letters", "E020"),
        ("PURPOSES", {"x": {"DIGITS": 9}}, "E019"),
        ("PURPOSES", {"x": {"RECIPIENT_QUOTA": (1, 2)}}, "E006"),
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
    assert found()["otpmail.E001"].hint.startswith("Did you mean OTPMAIL_ROUTES?\n")


def test_without_time_zones_nothing_works(settings, found):
    settings.USE_TZ = False
    assert "otpmail.E008" in found()


def ring(**secrets):
    return {name: base64.urlsafe_b64encode(secret).decode() for name, secret in secrets.items()}


GOOD = bytes.fromhex("9f3ac1d57be06f2418ea93bd4c7702f5a86e1fd930cb5582e7143db9064fa871")


@pytest.mark.parametrize(
    "secret",
    [
        bytes(32),
        b"\xff" * 32,
        bytes(range(32)),
        bytes(range(64, 0, -2)),
        GOOD[:8] * 4,
        GOOD[:16] * 2,
        GOOD[:8] + bytes(24),
        b"correct horse battery staple 123",
        GOOD.hex()[:32].encode(),
    ],
)
def test_key_that_could_be_guessed_is_an_error_of_deployment(settings, found, secret):
    settings.OTPMAIL_KEYS = ring(good=GOOD, weak=secret)
    assert found() == {}
    assert "'weak'" in str(found(deploy=True)["otpmail.E023"])


def test_two_ids_of_one_key_are_an_error_of_deployment(settings, found):
    settings.OTPMAIL_KEYS = ring(one=GOOD, two=GOOD)
    assert "'two' is the same as 'one'" in str(found(deploy=True)["otpmail.E023"])
    settings.OTPMAIL_KEY_CLASS = "tests.keys.Service"
    settings.OTPMAIL_KEYS = {"one": "slot 7", "two": "slot 8", "three": "slot 7"}
    assert "'three' is the same as 'one'" in str(found(deploy=True)["otpmail.E023"])


def test_made_keys_are_no_error(settings, found):
    settings.OTPMAIL_KEYS = {str(number): keys.new() for number in range(1000)}
    assert "otpmail.E023" not in found(deploy=True)


def test_key_that_is_too_short_is_an_error_always(settings, found):
    settings.OTPMAIL_KEYS = ring(short=GOOD[:31])
    assert list(found()) == ["otpmail.E005"]
    assert "otpmail.E023" not in found(deploy=True)


@pytest.mark.parametrize("address", ["http://bank.example", "HTTP://bank.example:8000"])
def test_links_without_tls_are_an_error_of_deployment(settings, found, address):
    settings.OTPMAIL_BASE_URL = address
    assert found() == {}
    assert "otpmail.E024" in found(deploy=True)
    settings.OTPMAIL_BASE_URL = "https://bank.example"
    assert "otpmail.E024" not in found(deploy=True)


def test_keys_made_of_the_secret_key_are_a_warning_of_deployment(settings, found):
    assert "otpmail.W001" in found(deploy=True)
    settings.OTPMAIL_KEYS = {"k": KEY}
    assert "otpmail.W001" not in found(deploy=True)


def test_malformed_key_is_not_shown(settings, found):
    settings.OTPMAIL_KEYS = {"k": "not-so-secret"}
    assert "not-so-secret" not in str(found()["otpmail.E005"])
    settings.OTPMAIL_KEYS = "not-so-secret"
    assert "not-so-secret" not in str(found()["otpmail.E002"])


def test_key_that_is_revoked_and_still_in_the_ring_is_an_error(settings, found):
    settings.OTPMAIL_KEYS, settings.OTPMAIL_REVOKED_KEYS = {"good": KEY}, ["stolen"]
    assert found() == {}
    settings.OTPMAIL_KEYS = {"good": KEY, "stolen": KEY}
    assert "otpmail.E022" in found()


def test_couriers_of_which_none_is_kept_for_codes_are_a_warning(settings, found):
    settings.OTPMAIL_MAIL_COURIERS = settings.OTPMAIL_COURIERS = 2
    assert "otpmail.W005" in found()


def test_pool_of_which_no_session_is_kept_for_codes_is_a_warning(settings, found):
    options = {"host": "localhost", "pool_size": 2}
    settings.MAILERS = {"default": {"BACKEND": mailserver.OUR_BACKEND, "OPTIONS": options}}
    assert "otpmail.W006" in found()


def test_link_that_would_lead_nowhere_is_an_error(settings, found):
    settings.OTPMAIL_BASE_URL = "https://bank.example"
    assert "otpmail.E017" not in found()
    settings.ROOT_URLCONF = "otpmail.urls"  # without its namespace
    assert "otpmail.E017" in found()


@pytest.mark.parametrize(
    ("mailers", "check"),
    [
        ({"default": {"BACKEND": OUTBOX}}, "E012"),
        ({"default": {"BACKEND": OUTBOX, "OPTIONS": {"routes": ["default"]}}}, "E012"),
        (
            {
                "default": {"BACKEND": mailserver.OUR_BACKEND},
                "queued": {"BACKEND": OUTBOX, "OPTIONS": {"routes": ["queued"]}},
            },
            "E012",
        ),
        (
            {
                "default": {"BACKEND": mailserver.OUR_BACKEND},
                "queued": {"BACKEND": OUTBOX, "OPTIONS": {"routes": ["nowhere"]}},
            },
            "E003",
        ),
    ],
)
def test_outbox_that_leads_nowhere_is_an_error(settings, found, mailers, check):
    through(settings, mailers)
    assert f"otpmail.{check}" in found()


def through(settings, mailers):
    if django.VERSION < (6, 1):  # there a test runner's locmem stands in this setting
        settings.EMAIL_BACKEND = OUTBOX
    settings.MAILERS = mailers


BEFORE_SMTP = {
    "default": {"BACKEND": OUTBOX, "OPTIONS": {"routes": ["smtp"]}},
    "smtp": {"BACKEND": mailserver.OUR_BACKEND, "OPTIONS": {"host": "localhost"}},
}


def test_outbox_before_a_backend_that_sends_is_in_order(settings, found):
    through(settings, BEFORE_SMTP)
    settings.OTPMAIL_ROUTES = ["smtp"]
    assert found() == {}


ELSEWHERE = {"using": "smtp"} if django.VERSION >= (6, 1) else {"email_backend": compat.SMTP}


@pytest.mark.parametrize(
    ("admins", "options", "warned"),
    [
        (["admin@example.org"], {}, True),
        (["admin@example.org"], ELSEWHERE, False),
        ([], {}, False),
    ],
    ids=["by default", "another way", "no admins"],
)
def test_error_mails_that_hang_on_the_database_are_a_warning(
    settings, found, monkeypatch, admins, options, warned
):
    through(settings, BEFORE_SMTP)
    settings.OTPMAIL_ROUTES, settings.ADMINS = ["smtp"], admins
    monkeypatch.setattr(logging.getLogger("django"), "handlers", [AdminEmailHandler(**options)])
    assert ("otpmail.W012" in found()) == warned


def test_outbox_without_cryptography_is_an_error(settings, found, monkeypatch):
    through(settings, BEFORE_SMTP)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "otpmail.E013" in found()


def test_metrics_without_their_package_are_an_error(settings, found, monkeypatch):
    settings.OTPMAIL_METRICS_TOKEN = "sixteen letters."
    assert found() == {}
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert "otpmail.E021" in found()


def test_django_backend_without_timeout_is_a_warning(settings, found):
    settings.MAILERS = {"default": {"OPTIONS": {"host": "localhost"}}}
    assert "otpmail.W002" in found()


OURS, DJANGOS = mailserver.OUR_BACKEND, mailserver.DJANGOS_BACKEND
ANYMAIL = "anymail.backends.mailgun.EmailBackend"


@pytest.mark.parametrize(
    ("backend", "timeout", "lease", "warned"),
    [
        (OURS, 10, 60, False),
        (OURS, 29.9, 60, False),
        (OURS, 30, 60, True),
        (OURS, 60, 60, True),
        (OURS, 30, 61, False),
        (OURS, None, 60, False),
        (OURS, None, 21, False),
        (OURS, None, 20, True),
        (DJANGOS, 10, 60, False),
        (DJANGOS, 30, 60, True),
        (DJANGOS, None, 60, False),  # W002 says it
        (ANYMAIL, 10, 60, False),
        (ANYMAIL, 30, 60, True),
        (ANYMAIL, (3, 10), 60, False),
        (ANYMAIL, (10, 20), 60, True),
        (ANYMAIL, (3, None), 60, True),
        (ANYMAIL, [3, 40], 60, True),
    ],
)
def test_timeout_that_uses_up_an_attempt_is_a_warning(
    settings, found, backend, timeout, lease, warned
):
    options = {"host": "localhost"} if backend != ANYMAIL else {"api_key": "x"}
    if timeout is not None:
        options["timeout"] = timeout
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    settings.OTPMAIL_LEASE_SECONDS = lease
    assert ("otpmail.W009" in found()) == warned


def test_own_timeout_of_our_backend_is_what_the_check_takes_it_for():
    assert {OURS: Timeouts().connect} == routes.OWN_TIMEOUT


@pytest.mark.parametrize("backend", [mailserver.OUR_BACKEND, mailserver.DJANGOS_BACKEND])
@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"host": "mail.example.org"}, True),
        ({"host": "192.0.2.1"}, True),
        ({"host": "mail.example.org", "use_tls": True}, False),
        ({"host": "mail.example.org", "use_ssl": True}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.2"}, False),
        ({"host": "::1"}, False),
    ],
    ids=str,
)
def test_plain_way_to_another_host_is_a_warning(settings, found, backend, options, warned):
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options | {"timeout": 10}}}
    assert ("otpmail.W008" in found()) == warned


@pytest.mark.parametrize(
    ("sender", "wrong"),
    [
        ("Example Inc. <shop@example.org>", False),
        ("Größe AG. <shop@straße.example>", False),
        ("webmaster", False),
        ("root@localhost", False),
        ("jürgen@example.org", False),
        ("Foo, Inc. <shop@example.org>", True),
        ("shop@example.org, codes@example.org", True),
        ("shop@-example.org", True),
        ("shop@exa mple.org", True),
        ("shop@example.org\n", True),
        ("<>", True),
        ("Shop", False),
        ("Our Shop", True),
        ("a" * 250 + "@example.org", True),
    ],
)
@pytest.mark.parametrize("name", ["OTPMAIL_FROM", "DEFAULT_FROM_EMAIL"])
def test_sender_of_no_mail_is_an_error(settings, found, name, sender, wrong):
    setattr(settings, name, sender)
    assert ("otpmail.E026" in found()) == wrong
    assert not wrong or name in found()["otpmail.E026"].msg


def test_sender_that_no_route_can_name_is_an_error(settings, found):
    settings.OTPMAIL_FROM = "jürgen@example.org"
    mailserver.route_through(settings, mailserver.DJANGOS_BACKEND, host="localhost", timeout=10)
    assert "SMTPUTF8" in found()["otpmail.E026"].msg


@pytest.mark.parametrize(
    ("pattern", "wrong"), [("*.straße.example", False), ("Yahoo.*", False), ("stra*ße.de", True)]
)
def test_rule_for_no_domain_is_an_error(settings, found, pattern, wrong):
    settings.OTPMAIL_DOMAIN_ROUTES = {pattern: ["default"]}
    assert ("otpmail.E027" in found()) == wrong


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


@pytest.mark.parametrize(
    ("apps", "warned"),
    [
        (["tests.projects.flushing"], True),
        (["otpmail", "tests.projects.flushing"], False),
        (["tests.projects.flushing.ours"], False),
    ],
    ids=str,
)
def test_flush_that_cannot_empty_the_audit_is_a_warning(settings, found, apps, warned):
    settings.INSTALLED_APPS = list(dict.fromkeys([*apps, *settings.INSTALLED_APPS]))
    get_commands.cache_clear()
    try:
        assert ("otpmail.W010" in found()) == warned
    finally:
        get_commands.cache_clear()


def test_engine_without_its_package_is_told_what_to_install(settings, found, monkeypatch):
    monkeypatch.delitem(sys.modules, "otpmail.engines.celery", raising=False)
    monkeypatch.setitem(sys.modules, "celery", None)
    settings.OTPMAIL_ENGINE = "otpmail.engines.celery.CeleryEngine"
    assert "pip install 'otpmail[celery]'" in found()["otpmail.E004"].msg


@pytest.mark.parametrize(
    ("name", "value"),
    [("broker_url", ""), ("task_always_eager", True), ("task_create_missing_queues", False)],
)
def test_celery_that_publishes_nothing_is_an_error(settings, found, monkeypatch, name, value):
    celery_app.conf.update(broker_url="redis://localhost")
    settings.OTPMAIL_ENGINE = "otpmail.engines.celery.CeleryEngine"
    assert "otpmail.E011" not in found()
    monkeypatch.setitem(celery_app.conf, name, value)
    assert "otpmail.E011" in found()


@pytest.mark.parametrize("kind", ["Immediate", "Dummy"])
def test_tasks_without_workers_are_an_error(settings, found, kind):
    settings.OTPMAIL_ENGINE = "otpmail.engines.tasks.TasksEngine"
    assert found() == {}
    backend = f"{compat.tasks().__name__}.backends.{kind.lower()}.{kind}Backend"
    settings.TASKS = {"otpmail": {"BACKEND": backend, "QUEUES": ["otpmail", "otpmail.mail"]}}
    assert "otpmail.E011" in found()


def test_tasks_without_the_alias_are_an_error(settings, found, monkeypatch):
    monkeypatch.delitem(sys.modules, "otpmail.engines.tasks", raising=False)
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    settings.OTPMAIL_ENGINE = "otpmail.engines.tasks.TasksEngine"
    assert "TASKS needs an alias 'otpmail'" in found()["otpmail.E004"].msg


def test_without_celery_the_kiosk_still_works():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CELERY], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "url",
    [
        *("https://x.example#a", " https://x.example", "https://x.example\n", "https://x. example"),
        *(
            "https://user:pw@x.example",
            "https://x.example?a",
            "https://x.example/codes",
            "//x.example",
        ),
        *("https://", "https:///a", "ftp://x.example", "x.example", "https://x.example:port"),
    ],
)
def test_base_url_is_scheme_and_host_alone(found, settings, url):
    settings.OTPMAIL_BASE_URL = url
    assert "otpmail.E016" in found()


@pytest.mark.parametrize(
    "url",
    ["https://x.example", "HTTPS://x.example/", "https://bänk.example:8443", "https://[::1]:8"],
)
def test_base_url_may_name_a_port(found, settings, url):
    settings.OTPMAIL_BASE_URL = url
    assert "otpmail.E016" not in found()


@pytest.mark.parametrize("given", [{7: GOOD}, [("a", GOOD)], {"a": None}, "a=b", None])
def test_ring_of_another_kind_is_told_and_no_traceback(found, settings, given):
    settings.OTPMAIL_KEYS = given
    assert set(found(deploy=True)) == {"otpmail.E002"}


@pytest.mark.parametrize("name", ["x" * 51, "", "a\0b"])
def test_name_of_a_purpose_that_no_call_takes_is_told(found, settings, name):
    settings.OTPMAIL_PURPOSES = {name: {}}
    assert "otpmail.E032" in found()


@pytest.mark.parametrize(("days", "is_told"), [(0, False), (1, True), (6, True), (7, False)])
def test_audit_is_kept_as_long_as_the_database_keeps_it(found, settings, days, is_told):
    settings.OTPMAIL_AUDIT_KEEP_DAYS = days
    assert ("otpmail.E033" in found()) is is_told
