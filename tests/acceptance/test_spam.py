"""A spam filter lets the mail pass: SpamAssassin with its own rules, and no question to the net."""

import re
import shutil
import subprocess

from tests import mailserver
from tests.mailserver import text_of
from tests.missing import needs

MOST = 2.0
"""Its own threshold is 5; a mail server's opinion of the sender comes on top."""

spamassassin = needs("Debian's package spamassassin", lambda: shutil.which("spamassassin"))


def test_a_filter_finds_next_to_nothing(site, capsys):
    site.environment |= {
        "DEFAULT_FROM_EMAIL": "Cooperative Kiosk <kiosk@kiosk.example.org>",
        "OTPMAIL_BASE_URL": "https://kiosk.example.org",
    }
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        site.alice().ask()
        (mail,) = server.wait_for(1)
    report = subprocess.run(
        ["spamassassin", "--local", "--test-mode"],
        input=bytes(mail),
        check=True,
        capture_output=True,
    ).stdout.decode()
    score = re.search(r"Content analysis details:\s+\((-?[\d.]+) points", report)
    assert score, report
    with capsys.disabled():
        print(f"\nSpamAssassin: {score[1]} points")
    assert float(score[1]) <= MOST, report.partition("Content analysis")[2]
    assert "Cancel it: https://kiosk.example.org/codes/cancel#" in text_of(mail)
