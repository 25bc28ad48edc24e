"""The mail says what it is for: code, amount, payee, reference, end; and no more."""

import re

import pytest
from django.core import mail

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def letter(alice, bob):
    """The mail for a transfer to somebody whose name tries to be more than a name."""
    bob.member.name = "Bob\r\n<b>Berg</b> & Sons"
    bob.member.save()
    transfer = alice.transfer(bob, 2345, memo="Secret potatoes")
    return transfer, alice.code(transfer), mail.outbox[0]


def html_of(letter):
    return letter.alternatives[0].content


def test_the_code_stands_unbroken_in_the_first_line_beside_the_word(letter):
    _, code, mail_ = letter
    assert mail_.body.splitlines()[0] == f"{code} is your code."
    shown = html_of(mail_).partition("<body>")[2].strip().splitlines()
    assert shown[0] == f'<p class="code"><b>{code}</b> is your code.</p>'


def test_it_names_amount_payee_reference_and_end(letter):
    transfer, _, mail_ = letter
    clock = transfer["expires_at"][11:16]
    for body in (mail_.body, html_of(mail_)):
        for part in ("23.45 EUR", "10-1002", transfer["reference"], f"{clock} UTC"):
            assert part in body


def test_it_holds_no_more(letter):
    _, _, mail_ = letter
    assert "potatoes" not in mail_.body + html_of(mail_)
    assert len(mail_.message().as_bytes()) < 8 * 1024
    assert "http" not in html_of(mail_)


def test_the_subject_holds_no_code(letter):
    transfer, code, mail_ = letter
    assert code not in mail_.subject
    assert transfer["reference"] in mail_.subject


def test_a_name_stays_a_name(letter):
    _, _, mail_ = letter
    assert "To: Bob <b>Berg</b> & Sons (10-1002)\n" in mail_.body
    assert "Bob &lt;b&gt;Berg&lt;/b&gt; &amp; Sons (10-1002)" in html_of(mail_)


def test_its_link_cancels_the_transfer_without_a_token(alice, bob, settings, client):
    settings.OTPMAIL_BASE_URL = "https://kiosk.example"
    transfer = alice.transfer(bob)
    link = re.search(r"https://kiosk\.example(\S+)", mail.outbox[-1].body)[1]
    assert link in html_of(mail.outbox[-1])
    assert len(mail.outbox[-1].message().as_bytes()) < 8 * 1024
    page, _, token = link.partition("#")
    assert client.get(page).status_code == 200
    assert alice.get(f"transfers/{transfer['id']}")["state"] == "pending"
    assert client.post(page, {"token": token})["Content-Type"].startswith("text/html")
    assert alice.get(f"transfers/{transfer['id']}")["reason"] == "cancelled"
    assert client.post(page, {"token": token}).status_code == 410
