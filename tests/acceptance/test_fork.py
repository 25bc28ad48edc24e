"""An engine whose parent forked: its threads did not come along, and nobody notices."""

import subprocess
import sys

from tests import mailserver
from tests.waiting import wait_until

FORKING = """
import os, time
import django
django.setup()
from otpmail import challenges, engines
from otpmail.models import Delivery
from django.db import connections

def issue(owner):
    challenges.issue("sign-in", owner=owner, recipient="alice@example.org")

engines.current().start()
issue("alice")
while Delivery.objects.exclude(state="accepted").exists():
    time.sleep(0.01)
time.sleep(0.1)  # SQLite forbids a fork while another thread is inside it
connections.close_all()
if (child := os.fork()) == 0:
    issue("bob")
    raise SystemExit  # ends as a worker does: by its exit handlers
assert os.waitpid(child, 0)[1] == 0
issue("carol")
"""


def test_parent_and_child_both_send_what_they_promised(site):
    with mailserver.running(port=site.ports.smtp) as server:
        done = subprocess.run(
            [sys.executable, "-c", FORKING],
            env=site.environment,
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr
        server.wait_for(3)
        wait_until(lambda: site.states() == ["accepted"] * 3)
    assert len(server.mails) == 3
