"""Django's error report of what broke inside a courier: frames and their variables, and no code."""

import logging

import django
import pytest
from django.core import mail
from django.utils.log import AdminEmailHandler

from otpmail import challenges
from otpmail.delivery import round_results
from otpmail.exceptions.foreign import OncePerMinute
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = {
    "unknown name": "{{ code }}{% include code %}",
    "filter": "{{ code|add:code|date:'x' }}{{ code.missing.more }}{% include code|add:'x' %}",
    "loop": "{% for digit in code %}{% include digit %}{% endfor %}",
}


@pytest.fixture
def admins(settings):
    admin = "admin@example.org"
    settings.ADMINS = [admin] if django.VERSION >= (6, 0) else [("Admin", admin)]
    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("otpmail")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.parametrize("broken", BROKEN)
def test_no_code_in_the_report_of_a_broken_template(settings, monkeypatch, admins, broken):
    monkeypatch.setattr(round_results, "once_per_minute", OncePerMinute())
    settings.OTPMAIL_DIGITS, settings.OTPMAIL_RETRY_SECONDS = 10, []
    loaders = [
        ("django.template.loaders.locmem.Loader", {"otpmail/sign-in/body.txt": BROKEN[broken]}),
        "django.template.loaders.app_directories.Loader",
    ]
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": {"loaders": loaders}}]
    issued = challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
    code = live_code(issued.challenge_id)
    report = next(sent for sent in mail.outbox if "cannot be rendered" in sent.subject)
    told = report.body + report.alternatives[0].content
    assert "in _part" in told
    assert code not in told
