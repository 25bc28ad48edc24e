"""A code is nowhere at rest.

``SECRECY_CODES=1000 .venv/bin/pytest tests/acceptance/test_secrecy.py`` is thorough.
"""

import os

import pytest

from tests import mailserver
from tests.mailserver import text_of
from tests.waiting import wait_until

CODES = int(os.environ.get("SECRECY_CODES", "50"))


@pytest.mark.long
@pytest.mark.timeout(600 + CODES)
def test_no_code_in_database_or_log(site):
    """Every file that the kiosk wrote is searched for every code that it mailed."""
    site.environment["DJANGO_SETTINGS_MODULE"] = "tests.ten_digits"
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        server.data = ["554 5.6.0 spam", mailserver.OK]
        alice = site.alice()
        transfers = [alice.ask(amount_minor=1).json() for _ in range(CODES)]
        codes = [text_of(mail).split()[0] for mail in server.wait_for(CODES - 1, seconds=CODES)]
        for transfer, code in zip(transfers, codes, strict=False):
            alice.type(transfer["id"], code)  # its own, or another's
        wait_until(lambda: "queued" not in site.states())
    dump = "\n".join(
        str(row)
        for (table,) in site.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        for row in site.rows(f'SELECT * FROM "{table}"')
    )
    written = dump + "".join(path.read_text() for path in site.home.rglob("*.log"))
    written += (site.home / "kiosk.out").read_text()
    assert "Email accepted" in written
    assert "Email failed" in written
    assert len({code for code in codes if len(code) == 10}) == CODES - 1
    assert [code for code in codes if code in written] == []
