"""A real site whose database is away: people see its error page, and its admins get the mail."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import django
import httpx
import pytest

from tests import mailserver
from tests.mailserver import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

SITE = """
import sys
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.urls import path

mail_port, port = int(sys.argv[1]), int(sys.argv[2])
BACKEND = "otpmail.backends.outbox.EmailBackend"
OPTIONS = {{"host": "127.0.0.1", "port": mail_port, "timeout": 5}}
settings.configure(
    DEBUG=False,
    SECRET_KEY="a secret that only the tests know, of more than fifty characters",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "otpmail"],
    DATABASES={{"default": {database}}},
    USE_TZ=True,
    MAILERS={{
        "default": {{"BACKEND": BACKEND, "OPTIONS": {{"routes": ["smtp"]}}}},
        "smtp": {{"BACKEND": "otpmail.backends.smtp.EmailBackend", "OPTIONS": OPTIONS}},
    }},
    OTPMAIL_ROUTES=["smtp"],
    ADMINS={admins},
    **({{}} if django.VERSION >= (6, 1) else {{"EMAIL_BACKEND": BACKEND}}),
)
django.setup()

from otpmail import challenges

def ask(request):
    challenges.issue("sign-in", owner="alice", recipient="alice@example.org")

urlpatterns = [path("", ask)]

from django.core.wsgi import get_wsgi_application
make_server("127.0.0.1", port, get_wsgi_application()).serve_forever()
"""

DATABASES = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/at/all.sqlite3"},
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": "1",
        "NAME": "away",
    },
}


@pytest.mark.parametrize("vendor", DATABASES)
def test_error_page_is_shown_and_mailed_while_the_database_is_away(vendor, tmp_path):
    if vendor == "postgresql":
        pytest.importorskip("psycopg")
    admins = ["admin@example.org"] if django.VERSION >= (6, 0) else [("A", "admin@example.org")]
    script = tmp_path / "site.py"
    script.write_text(textwrap.dedent(SITE.format(database=DATABASES[vendor], admins=admins)))
    port = free_port()
    with mailserver.running() as server:
        site = subprocess.Popen(
            [sys.executable, script, str(server.port), str(port)],
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: answers(port), seconds=60)
            response = httpx.get(f"http://127.0.0.1:{port}/", timeout=60)
            (mail, *_) = server.wait_for(1)
        finally:
            site.terminate()
            told = site.communicate(timeout=60)[1]
    assert response.status_code == 500
    assert "Server Error (500)" in response.text, told
    assert "Internal Server Error: /" in mail["Subject"]
    assert "OperationalError" in mailserver.text_of(mail)


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/nothing", timeout=60)
    except httpx.TransportError:
        return False
    return True
