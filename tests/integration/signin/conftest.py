import re

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from otpmail.models import Challenge
from otpmail.testing import live_code

AT = "/sign-in/"


class Browser(Client):
    """A browser: its cookies, and what it was last led to."""

    def __init__(self, **defaults):
        super().__init__(headers={"host": "localhost"}, **defaults)

    def ask(self, email, **more):
        """Ask for a code; gives the page that it leads to, or the refusal."""
        return self.post(AT, {"email": email, **more}, follow=True)

    def type(self, code, page=None, **how):
        return self.post(page or self.page(), {"code": code}, **how)

    def resend(self, page=None, **how):
        return self.post(page or self.page(), {"do": "resend"}, **how)

    def page(self):
        """Give the address of the newest code page."""
        return f"{AT}{self.session['otpmail.signin'][-1][0]}"

    def challenge(self, page=None):
        return Challenge.objects.get(pk=(page or self.page()).removeprefix(AT))

    def code(self, page=None):
        return live_code(self.challenge(page).pk)

    def is_signed_in(self):
        return self.get("/home").status_code == 200


def other_than(code):
    """Give eight digits that are not these."""
    return f"{(int(code or 0) + 1) % 10**8:08d}"


def shown(response):
    """Give a page as it is, but for what differs between any two."""
    words = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|value=\"[^\"]{64}\"", "…", response.text)
    return re.sub(r"\d\d:\d\d(:\d\d)? UTC|\d{4}-\d\d-\d\dT[\d:.+]+", "…", words)


@pytest.fixture(autouse=True)
def project(settings):
    """Let the settings be those of a project that has the pages."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "otpmail.signin"]
    settings.ROOT_URLCONF = "tests.integration.signin.urls"
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one.startswith("django.")]
    settings.TEMPLATES = [{key: settings.TEMPLATES[0][key] for key in ("BACKEND", "APP_DIRS")}]
    settings.LOGIN_URL = "otpmail_signin:ask"
    settings.LOGIN_REDIRECT_URL = "/home"
    settings.OTPMAIL_OPEN_CHALLENGES = 3
    settings.OTPMAIL_RECIPIENT_QUOTA = [10, 20]


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice", email="alice@example.org")


@pytest.fixture
def browser():
    return Browser()
