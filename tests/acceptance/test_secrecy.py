"""A code is nowhere at rest."""

import re

from tests import mailserver
from tests.mailserver import text_of
from tests.waiting import wait_until


def test_no_code_in_database_or_log(site):
    """Every file that the kiosk wrote is searched for every code that it mailed."""
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        server.data = ["554 5.7.1 spam", mailserver.OK]
        alice = site.alice()
        transfers = [alice.ask().json() for _ in range(20)]
        codes = {text_of(mail).split()[0] for mail in server.wait_for(19)}
        for transfer in transfers[:5]:
            alice.type(transfer["id"], min(codes))
        wait_until(lambda: "queued" not in site.states())
    dump = "\n".join(
        str(row)
        for (table,) in site.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        for row in site.rows(f'SELECT * FROM "{table}"')  # noqa: S608
    )
    written = dump + "".join(path.read_text() for path in site.home.rglob("*.log"))
    written += (site.home / "kiosk.out").read_text()
    assert len(codes) > 15
    assert "otpmail.transfer" in written or "transfer" in written
    found = {code for code in codes if re.search(rf"(?<!\d){code}(?!\d)", written)}
    assert found == set()
