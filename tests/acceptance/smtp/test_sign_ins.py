"""A wrong password, a real server, two processes of one host."""

import os
import subprocess
import sys
from pathlib import Path

from aiosmtpd.smtp import AuthResult

from tests import mailserver

ROOT = Path(__file__).parents[3]

ASKS = """
import sys, threading, time, django
from django.conf import settings
settings.configure(SECRET_KEY="the same")
from otpmail.backends.smtp import EmailBackend
backend = EmailBackend(
    alias="a", host="127.0.0.1", port=int(sys.argv[1]), username="kiosk", password="wrong"
)
backend.warm()  # its keeper opens a session, and again, with no mail at all
for _ in range(40):
    outcome = backend.reach(timeout=30)
    assert outcome.code == 535, outcome
    time.sleep(0.05)
print(outcome.reply)
"""


def test_two_processes_do_not_hammer_a_server_with_a_wrong_password(tmp_path):
    """There were 82 sign-ins in half a minute, with one transfer, and as many with none."""

    def refuse(*_):
        return AuthResult(success=False, handled=False)

    options = {"authenticator": refuse, "auth_require_tls": False}
    with mailserver.running(**options) as server:
        environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ASKS, str(server.port)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        told = [process.communicate(timeout=240)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
    assert all("not asked again for" in reply for reply in told)
    # Whoever begins before the first refusal is told asks for itself: a mail, and a keeper.
    assert 1 <= server.sessions <= 4
