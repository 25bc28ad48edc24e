"""What arrives in one mailbox is counted as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.addresses import canonical
from otpmail.addresses.mailboxes import PROVIDERS, mailbox_of


@pytest.mark.parametrize(
    ("addresses", "mailbox"),
    [
        (["alice@example.org", "ALICE@Example.org", "alice+bank@example.org"], "alice@example.org"),
        (
            ['"alice"@example.org', '"alice+a b"@example.org', r'"al\ice"@example.org'],
            "alice@example.org",
        ),
        (
            ["alice.b@gmail.com", "a.l.i.c.e.b+x@googlemail.com", "..aliceb..@gmail.com"],
            "aliceb@gmail.com",
        ),
        (["alice@yahoo.com", "alice-shop@yahoo.com", "alice+x@yahoo.com"], "alice@yahoo.com"),
        (["alice@yahoo.co.jp", "alice-shop@yahoo.co.jp"], "alice@yahoo.co.jp"),
        (["alice-x@ymail.com", "alice@ymail.com"], "alice@ymail.com"),
        (["alice@icloud.com", "alice@me.com", "alice+x@mac.com"], "alice@icloud.com"),
        (["alice@outlook.com", "alice+x@outlook.com"], "alice@outlook.com"),
        (["a.l-i_ce@proton.me", "alice@pm.me", "alice+x@protonmail.com"], "alice@proton.me"),
        (
            ["alice@fastmail.com", "shop@alice.fastmail.com", "alice+shop@fastmail.com"],
            "alice@fastmail.com",
        ),
        (["al_ice@fastmail.fm", "shop@al-ice.fastmail.fm"], "alice@fastmail.fm"),
        (["a.lice@yandex.ru", "a-lice@ya.ru", "alice+x@yandex.com"], "alice@yandex.ru"),
        (["jürgen@example.org", "JU\u0308RGEN@example.org"], "jürgen@example.org"),
        (["\U0001d41alice@example.org", "\uff41lice@example.org"], "alice@example.org"),
        (["user@straße.de"], "user@xn--strae-oqa.de"),
    ],
)
def test_addresses_of_one_mailbox_are_one(addresses, mailbox):
    assert {mailbox_of(canonical(address)) for address in addresses} == {mailbox}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice.b@example.org", "aliceb@example.org"),
        ("alice-b@example.org", "alice@example.org"),
        ("alice.b@outlook.com", "aliceb@outlook.com"),
        ("user@straße.de", "user@strasse.de"),
        ("alice@gmail.com", "alice@gmail.co"),
        ("alice@yahoo.com", "alice@yahoo.fr"),
        ("alice@fastmail.com", "alice@fastmail.fm"),
        ("shop@alice.example.org", "shop@bob.example.org"),
        ("alice@sub.gmail.com", "alice@gmail.com"),
        ("+4915112345@example.org", "+4915167890@example.org"),  # a name that begins so
        ("-a@yahoo.com", "-b@yahoo.com"),
        (".-@proton.me", "_@proton.me"),
    ],
)
def test_mailboxes_of_two_are_two(one, other):
    assert mailbox_of(canonical(one)) != mailbox_of(canonical(other))


@given(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True),
    st.sampled_from(sorted(domain.replace("*", "com") for domain in PROVIDERS)),
    st.from_regex(r"[a-z0-9.+-]{0,20}", fullmatch=True),
)
def test_no_sub_address_is_a_mailbox_of_its_own(local, domain, keyword):
    mailbox = mailbox_of(canonical(f"{local}@{domain}"))
    assert mailbox_of(canonical(f"{local}+{keyword}@{domain}")) == mailbox
    assert mailbox_of(canonical(f'"{local.upper()}+{keyword}"@{domain.upper()}')) == mailbox
