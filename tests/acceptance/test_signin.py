"""A project that ``startproject`` made, with the two lines that the docs tell, and a browser.

It has a user model of its own, whose address is a field of another name.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.mailserver import free_port
from tests.waiting import wait_until

PEOPLE = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Person(AbstractBaseUser):
    mailbox = models.EmailField(unique=True)
    USERNAME_FIELD = EMAIL_FIELD = "mailbox"
    objects = BaseUserManager()
"""

SETTINGS = """
INSTALLED_APPS += ["otpmail", "otpmail.signin", "people"]
LOGIN_URL = "otpmail_signin:ask"
LOGIN_REDIRECT_URL = "home"

AUTH_USER_MODEL = "people.Person"
INSTALLED_APPS.remove("django.contrib.admin")
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}
DATABASES["default"]["OPTIONS"] = {
    "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL",
}
"""

URLS = """
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("sign-in/", include("otpmail.signin.urls")),
    path("", login_required(lambda request: HttpResponse(request.user.mailbox)), name="home"),
]
"""


class Bank:
    """The project, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.out = home, free_port(), home / "out.txt"
        self.run("-m", "django", "startproject", "bank", ".")
        (home / "people/migrations").mkdir(parents=True)
        for name in ("people/__init__.py", "people/migrations/__init__.py"):
            (home / name).touch()
        (home / "people/models.py").write_text(PEOPLE)
        (home / "bank/urls.py").write_text(URLS)
        with (home / "bank/settings.py").open("a") as settings:
            settings.write(SETTINGS)
        self.manage("makemigrations", "people")
        self.manage("migrate")

    def manage(self, *told: str) -> str:
        return self.run("manage.py", *told)

    def run(self, *told: str) -> str:
        run = subprocess.run(
            [sys.executable, *told], cwd=self.home, env=self.environment(), capture_output=True,
            text=True, timeout=250,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    @contextlib.contextmanager
    def up(self):
        command = [sys.executable, "manage.py", "runserver", "--noreload", str(self.port)]
        with (
            self.out.open("w") as out,
            subprocess.Popen(
                command, cwd=self.home, env=self.environment(), stdout=out, stderr=out
            ) as server,
        ):
            try:
                wait_until(self.answers, told=self.out.read_text)
                yield
            finally:
                server.terminate()

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError), self.browser() as browser:
            return browser.get("/sign-in/").status_code == 200
        return False

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", follow_redirects=True)

    def environment(self) -> dict[str, str]:
        known = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        return known | {"PYTHONUNBUFFERED": "1"}

    def codes(self) -> list[str]:
        return re.findall(r"^(\d{8}) is your code\.$", self.out.read_text(), re.MULTILINE)


@pytest.fixture
def bank(tmp_path):
    return Bank(tmp_path)


def submit(browser, page, **typed):
    """Fill in the first form of a page, and send it with all that the form holds."""
    (action,) = re.findall(r'<form class="stack" method="post" action="([^"]+)"', page.text)
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return browser.post(action, data=dict(hidden) | typed)


@pytest.mark.long
def test_two_lines_make_a_project_that_signs_in_by_mail(bank):
    assert "no issues" in bank.manage("check", "--fail-level", "WARNING")
    bank.manage("shell", "-c", "from people.models import *; Person(mailbox='a@b.example').save()")
    with bank.up(), bank.browser() as browser:
        asked = browser.get("/")
        assert asked.url.path == "/sign-in/"
        page = submit(browser, asked, email="A@B.example")
        wait_until(bank.codes, told=bank.out.read_text)
        wrong = submit(browser, page, code="1")
        assert "The code has 8 digits" in wrong.text
        done = submit(browser, wrong, code=bank.codes()[0])
        assert (done.url.path, done.text) == ("/", "a@b.example")
        for name in ("signin.css", "signin.js"):
            assert browser.get(f"/static/otpmail/{name}").status_code == 200


@pytest.mark.long
def test_one_setting_more_and_who_is_new_signs_up(bank):
    with (bank.home / "bank/settings.py").open("a") as settings:
        settings.write("OTPMAIL_SIGNIN_SIGN_UP = True\n")
    assert "no issues" in bank.manage("check", "--fail-level", "WARNING")
    with bank.up(), bank.browser() as browser:
        page = submit(browser, browser.get("/"), email="new@b.example")
        wait_until(bank.codes, told=bank.out.read_text)
        done = submit(browser, page, code=bank.codes()[0])
        assert (done.url.path, done.text) == ("/", "new@b.example")
