import re
import subprocess
import sys

from tests.workers import ROOT


def test_rendering_prints_what_a_mail_takes():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rendering", "--mails", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ways = re.findall(r"^(.+?): (.+?) +[\d.]+ +[\d.]+$", done.stdout, re.MULTILINE)
    assert [way for mail, way in ways if mail == "a code's mail"] == [
        *("render", "its bytes", "both", "Django's bytes")
    ]
