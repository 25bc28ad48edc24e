"""Django's own tests of its SMTP backend, run on ours.

They come with Django's source distribution, not with its wheel: set ``DJANGO_SOURCE`` to where the
distribution of the installed version is unpacked, as ``pip download --no-deps --no-binary :all:
Django==<version>`` fetches it. Without it this test is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import django
import pytest

SOURCE = os.environ.get("DJANGO_SOURCE")

PRIVATE = {
    # Each looks into smtplib, or at an attribute that only Django's backend has.
    "test_smtp_connection_uses_host_and_port": "replaces smtplib.SMTP, which is not used",
    "test_auth_attempted": "replaces smtplib.SMTP.login, which is not used",
    "test_server_open": "looks at _partial_connection",
    "test_reopen_replaces_partial_connection": "looks at _partial_connection",
    "test_ssl_context_uses_ssl_certfile_and_keyfile": "replaces ssl.SSLContext; ours also trusts "
    "the system's authorities when a client certificate is given",
    "test_connection_timeout_custom": "looks at connection.timeout; connection is a pool here",
    "test_smtp_connection_uses_timeout": "looks at connection.timeout; connection is a pool here",
    "test_serialized_message_uses_crlf_line_ending": "replaces connection.sendmail",
    "test_send_messages_after_open_failed": "replaces open(), which sending does not need here",
    # These differ on purpose.
    "test_direct_construction_deprecated": "making the backend directly is not deprecated here",
    "test_rejects_non_ascii_local_part": "such an address is sent, by SMTPUTF8",
    "test_prep_address_without_force_ascii": "SMTPUTF8 needs no subclass here",
}

MODULE = """\
from otpmail.backends import smtp as ours
from mail import test_backends as theirs

theirs.smtp = ours


class OurSMTPBackendTests(theirs.SMTPBackendTests):
    backend_class = ours.EmailBackend


class OurStoppedServerTests(theirs.SMTPBackendStoppedServerTests):
    pass


for name in {names!r}:
    assert hasattr(theirs.SMTPBackendTests, name), name
    setattr(OurSMTPBackendTests, name, None)
"""


@pytest.mark.skipif(SOURCE is None, reason="DJANGO_SOURCE is not set")
@pytest.mark.skipif(django.VERSION < (6, 1), reason="the list is of Django 6.1's tests")
def test_djangos_own_tests_pass(tmp_path):
    tests = tmp_path / "tests"
    shutil.copytree(Path(SOURCE or "") / "tests", tests)
    (tests / "mail" / "test_otpmail.py").write_text(MODULE.format(names=list(PRIVATE)))
    ours = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "runtests.py", "--parallel=1", "mail.test_otpmail"],
        cwd=tests,
        env=os.environ | {"PYTHONPATH": str(ours), "DJANGO_SETTINGS_MODULE": "test_sqlite"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\nOK" in done.stderr, done.stderr
