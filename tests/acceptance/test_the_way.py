"""Both ways, out and back, in one story."""

from email.utils import parsedate_to_datetime

from tests import mailserver
from tests.waiting import wait_until


def test_the_way(site):
    with mailserver.running(port=site.ports.smtp) as server, site.up():
        # Alice asks to pay Bob, and is answered before any mail has left.
        alice = site.alice()
        answer = alice.ask(memo="potatoes")
        assert answer.status_code == 201
        transfer = answer.json()
        assert answer.headers["Location"].endswith(transfer["id"])
        assert (transfer["recipient"], transfer["digits"]) == ("a***@example.org", 6)

        # A moment later the mail is there: code first, then what it stands for.
        (mail,) = server.wait_for(1)
        text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
        first_line = text.splitlines()[0]
        code = first_line.split()[0]
        assert first_line == f"{code} is your code."
        assert "12.50" in text
        assert "Bob" in text
        assert transfer["reference"] in text
        assert code in html
        assert code not in mail["Subject"]
        assert len(bytes(mail)) < 8192

        # Machines leave it alone, and every copy of it is the same mail.
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["X-Auto-Response-Suppress"] == "All"
        assert mail["Message-ID"].endswith("@localhost>")
        assert parsedate_to_datetime(mail["Date"]) is not None
        assert not {"Precedence", "List-Id", "References"} & set(mail.keys())

        # The client sees it accepted.
        wait_until(lambda: alice.look(transfer["id"])["delivery"]["state"] == "accepted")

        # A wrong code costs a guess; a thing that is no code costs none.
        wrong = f"{(int(code) + 1) % 10**6:06d}"
        assert alice.type(transfer["id"], wrong).json()["guesses_left"] == 4
        assert alice.type(transfer["id"], "one two three").status_code == 400
        assert alice.balance() == 1000_00

        # The right one moves the money, once.
        spaced = f" {code[:3]}-{code[3:]} "
        assert alice.type(transfer["id"], spaced).status_code == 200
        assert alice.type(transfer["id"], code).status_code == 409
        assert alice.balance() == 987_50

    # The operator finds it in the log, and nobody finds the code or the address.
    lines = [line for line in site.log.read_text().splitlines() if "Email" in line]
    assert any("INFO" in line and "Email accepted" in line for line in lines)
    assert code not in site.log.read_text()
    assert "alice@example.org" not in site.log.read_text()
