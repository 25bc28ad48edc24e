"""Whatever is sent to the kiosk, it answers as its document says, and never with a fault."""

import importlib.util
import subprocess
import sys

import pytest

from demo.machine import HOST
from tests import mailserver
from tests.missing import needs

SECONDS = 250
CHECKS = (
    "not_a_server_error,status_code_conformance,"
    "content_type_conformance,response_schema_conformance"
)

schemathesis = needs("schemathesis", lambda: importlib.util.find_spec("schemathesis"))


@pytest.mark.long
@pytest.mark.parametrize("signed_in", [True, False])
def test_no_answer_is_outside_the_document(site, signed_in):
    with mailserver.running(port=site.ports.smtp), site.up():
        base = f"http://{HOST}:{site.ports.kiosk}/api/v1/openapi.json"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", base),
            *("--checks", CHECKS, "--max-examples", "20", "--seed", "1", "--no-color"),
            *("--exclude-path", "/api/v1/sign-out"),  # the rest would be asked signed out
        ]
        if signed_in:
            command += ["--header", f"Authorization: {site.alice().http.headers['Authorization']}"]
        told = subprocess.run(
            command, cwd=site.home, capture_output=True, text=True, timeout=SECONDS
        )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr
    assert "ERROR" not in site.log.read_text()
