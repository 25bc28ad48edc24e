import pytest

from otpmail.smtp.addresses import path
from otpmail.smtp.errors import InvalidArgumentError, Phase, UnsupportedError


def written(address: str, *, utf8: bool = False) -> str:
    return path(address, phase=Phase.RCPT, utf8=utf8).decode()


@pytest.mark.parametrize(
    "address",
    [
        "alice@example.org",
        "a+b=c/d!{x}@example.org",
        "double..dot@example.org",
        '"quoted string"@example.org',
        r'"with \" and >"@example.org',
        "alice@[127.0.0.1]",
        "alice@[IPv6:::1]",
        "alice@localhost",
        "alice@_under.example.org",
        "webmaster",
    ],
)
def test_an_address_is_written_as_it_is(address):
    assert written(address) == f"<{address}>"


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nDATA",
        "a@example.org\n",
        "a\0@example.org",
        "a@example.org> SIZE=1 <b",
        "a b@example.org",
        "a@exa mple.org",
        "a@b@example.org",
        "Alice <a@example.org>",
        "a@",
        "@example.org",
        "a@-example.org",
        'a"b@example.org',
        '"a"b"@example.org',
        "a@[1.2.3.4",
        "a@[x]>[y]",
        "a" * 250 + "@example.org",
        "a@" + "ä" * 70 + ".org",
        "a@ex\u200dample.org",
        "a@bücher.example",  # whoever gives it writes it in ASCII (otpmail.addresses)
        "a@[IPv6:\u0663]",
        "a\u2028@example.org",
        "a\x85@example.org",
        "a\ud800@example.org",
        "\u00a0@example.org",
    ],
)
def test_anything_that_is_no_address_is_refused(address):
    with pytest.raises(InvalidArgumentError) as caught:
        written(address, utf8=True)
    assert address not in str(caught.value)


def test_a_local_part_that_is_not_ascii_needs_smtputf8():
    with pytest.raises(UnsupportedError):
        written("jürgen@example.org")
    assert written("jürgen@xn--bcher-kva.example", utf8=True) == "<jürgen@xn--bcher-kva.example>"
