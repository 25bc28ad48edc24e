"""What a browser is told of every answer."""

import django
import pytest
from django.conf import settings as kiosk
from django.test import Client

pytestmark = pytest.mark.django_db

PATHS = ["/healthz", "/api/v1/docs", "/api/v1/me", "/problems/fault", "/nowhere", "/codes/cancel"]


@pytest.fixture
def proxied(settings):
    """The kiosk as it stands behind a proxy that ends TLS."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = ["^healthz$"]
    settings.SECURE_HSTS_SECONDS = 31_536_000
    return Client(headers={"host": "localhost"})


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_framed_by_nobody_and_sniffed_by_nobody(client, path):
    answer = client.get(path)
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert not answer.cookies


@pytest.mark.skipif(django.VERSION < (6, 0), reason="SECURE_CSP came with Django 6.0")
@pytest.mark.parametrize("path", PATHS)
def test_no_answer_may_run_a_script_of_its_own_lines(client, path):
    policy = client.get(path)["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


def test_the_documents_page_keeps_to_the_policy(client):
    """All its scripts are files of our own; its one block is data."""
    page = client.get("/api/v1/docs").content.decode()
    inline = page.count("<script>") + page.count("<style") + page.count(" onload=")
    assert inline == 0
    assert page.count("<script") == page.count("<script src") + page.count(
        'type="application/json"'
    )


def test_what_comes_without_tls_is_sent_to_it_but_for_health(proxied):
    assert proxied.get("/api/v1/me").status_code == 301
    assert proxied.get("/healthz").status_code == 200
    answer = proxied.get("/healthz", headers={"x-forwarded-proto": "https"})
    assert "max-age=31536000" in answer["Strict-Transport-Security"]


def test_a_body_has_one_limit():
    """What Django would refuse was refused before, with a problem."""
    assert kiosk.DATA_UPLOAD_MAX_MEMORY_SIZE == 64 * 1024
