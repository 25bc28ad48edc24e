"""An address has one form, or there is a reason why it has none."""

import contextlib
import unicodedata

import pytest
from django.utils.functional import lazystr
from django.utils.safestring import SafeString
from hypothesis import assume, given
from hypothesis import strategies as st

from otpmail.addresses import (
    addr_spec,
    canonical,
    domain_of,
    in_ascii,
    needs_utf8,
    spelt,
)
from otpmail.exceptions import InvalidRecipientError

LONGEST_LABEL = "b" * 63


def wide(text: str) -> str:
    """As an input method for Japanese writes it."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("alice@example.org", "alice@example.org"),
        ("ALICE@EXAMPLE.org", "ALICE@example.org"),
        ("a+b=c/d!{x}@example.org", "a+b=c/d!{x}@example.org"),
        # Quotes that are not needed, and those that are.
        ('"victim"@example.org', "victim@example.org"),
        (r'"v\ictim"@example.org', "victim@example.org"),
        ('"a b"@example.org', '"a b"@example.org'),
        (r'"a\ b"@example.org', '"a b"@example.org'),
        (r'"a\"b\\c"@example.org', r'"a\"b\\c"@example.org'),
        ('"a@b"@example.org', '"a@b"@example.org'),
        # Mailboxes of docomo and ezweb.
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        ('"a..b"@docomo.ne.jp', "a..b@docomo.ne.jp"),
        ("abc.@ezweb.ne.jp", "abc.@ezweb.ne.jp"),
        (".abc@ezweb.ne.jp", ".abc@ezweb.ne.jp"),
        # Domains, however they are written.
        ("user@straße.de", "user@xn--strae-oqa.de"),
        ("user@STRAßE.de", "user@xn--strae-oqa.de"),
        ("user@xn--strae-oqa.de", "user@xn--strae-oqa.de"),
        ("user@XN--STRAE-OQA.de", "user@xn--strae-oqa.de"),
        ("user@strasse.de", "user@strasse.de"),
        ("user@bu\u0308cher.example", "user@xn--bcher-kva.example"),
        ("user@" + wide("example.org"), "user@example.org"),
        ("user@example。org", "user@example.org"),
        ("user@example｡org", "user@example.org"),
        ("user@ex\u00adample.org", "user@example.org"),
        ("user@βόλος.com", "user@xn--nxasmm1c.com"),
        ("user@例え.テスト", "user@xn--r8jz45g.xn--zckzah"),
        ("user@ab--c.org", "user@ab--c.org"),
        ("user@localhost", "user@localhost"),
        ("user@[192.0.2.1]", "user@[192.0.2.1]"),
        ("user@[IPv6:2001:DB8:0:0::1]", "user@[IPv6:2001:db8::1]"),
        ("user@[ipv6:2001:db8::1]", "user@[IPv6:2001:db8::1]"),
        # Letters.
        (wide("alice@example.org"), "alice@example.org"),
        ("jürgen@example.org", "jürgen@example.org"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
        ('"e\\\u0301"@example.org', "é@example.org"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
        # Lengths, in octets of what is written.
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
        ('"' + r"\a" * 64 + '"@example.org', "a" * 64 + "@example.org"),
        ("ü" * 32 + "@example.org", "ü" * 32 + "@example.org"),
        (f"a@{LONGEST_LABEL}.org", f"a@{LONGEST_LABEL}.org"),
        ("a" * 50 + "@" + "b." * 100 + "org", "a" * 50 + "@" + "b." * 100 + "org"),
    ],
)
def test_an_address_has_one_form(typed, written):
    assert canonical(typed) == written
    assert canonical(lazystr(typed)) == canonical(SafeString(typed)) == written


NO_NAME = "not a domain name"
NO_LETTERS = "letters that no mail server here takes"
NOT_BARE = "more than a bare address"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        (None, "type NoneType"),
        (b"alice@example.org", "type bytes"),
        (7, "type int"),
        ("alice", "no @"),
        ("@example.org", "no local part"),
        ('""@example.org', "no local part"),
        ("Alice <alice@example.org>", NOT_BARE),
        ("alice@example.org, bob@example.org", NOT_BARE),
        ("alice@example.org;bob@example.org", NOT_BARE),
        ("alice@example.org bob@example.org", NOT_BARE),
        ("alice(home)@example.org", NOT_BARE),
        ("a b@example.org", NOT_BARE),
        (" alice@example.org", NOT_BARE),
        ("a@b@example.org", NOT_BARE),
        ('a"b@example.org', NOT_BARE),
        ('"a"b"@example.org', NOT_BARE),
        ('"a"."b"@example.org', NOT_BARE),
        (r"a\b@example.org", NOT_BARE),
        ("<alice@example.org>", NOT_BARE),
        ("a@", NO_NAME),
        ("a@b", NO_NAME),
        ("a@b\u2028.com", NO_NAME),
        ("a@b.com\u2029", NO_NAME),
        ("a@example.org\nBcc: b@example.net", NO_LETTERS),
        ("a@example.org\n", NO_NAME),
        ("a@example.org\0", NO_NAME),
        ("a@example.org ", NO_NAME),
        ("a@example.org\u3000", NO_NAME),
        ("a@example.org.", NO_NAME),
        ("a@example.org。", NO_NAME),
        ("a@example..org", NO_NAME),
        ("a@.org", NO_NAME),
        ("a@-example.org", NO_NAME),
        ("a@example-.org", NO_NAME),
        ("a@under_score.org", NO_NAME),
        ("a@192.0.2.1", NO_NAME),
        ("a@example.123", NO_NAME),
        ("a@xn--.org", NO_NAME),
        ("a@xn--a.org", NO_NAME),
        ("a@xn--zzzzzzzzzz99999.org", NO_NAME),
        ("a@xn--example-.org", NO_NAME),
        ("a@x\u200dy.org", NO_NAME),
        ("a@\u202eexample.org", NO_NAME),
        ("a@\u0301x.org", NO_NAME),
        ("a@\ud800.org", NO_NAME),
        ("a@ex≠ample.org", NO_NAME),
        ("a@👍.org", NO_NAME),  # IDNA 2008 has no emoji
        ("a@[::1]", NO_NAME),
        ("a@[192.0.2.1", NO_NAME),
        ("a@[192.0.2.256]", "no address literal"),
        ("a@[IPv6:fe80::zz]", NO_NAME),
        ("a@[IPv6:1::2::3]", "no address literal"),
        (f"a@b{LONGEST_LABEL}.org", NO_NAME),
        ("a\u200bb@example.org", NO_LETTERS),
        ("a\u2060b@example.org", NO_LETTERS),
        ("a\u202eb@example.org", NO_LETTERS),
        ("a\u3164b@example.org", NO_LETTERS),
        ("a\uffa0b@example.org", NO_LETTERS),
        ("a\ufe0fb@example.org", NO_LETTERS),
        ("a\u034fb@example.org", NO_LETTERS),
        ("a\u2800b@example.org", NO_LETTERS),
        ("a\u00adb@example.org", NO_LETTERS),
        ("a\u2028b@example.org", NO_LETTERS),
        ("a\u00a0b@example.org", NO_LETTERS),
        ("a\0b@example.org", NO_LETTERS),
        ("a\x85b@example.org", NO_LETTERS),
        ("a\ud800b@example.org", NO_LETTERS),
        ("a\ue000b@example.org", NO_LETTERS),
        ('"a\tb"@example.org', NO_LETTERS),
        ('"a\\\nb"@example.org', NO_LETTERS),
        # Python's parser would have it for victim@example.org, and Django 5.2's backend with it.
        ("=?utf-8?q?victim?=@example.org", "encoded.word"),
        ('"=?utf-8?q?victim?= x"@example.org', "encoded.word"),
        ("a" * 65 + "@example.org", "64 octets"),
        ("ü" * 33 + "@example.org", "64 octets"),
        ('"' + "a " * 31 + 'a"@example.org', "64 octets"),
        ("a" * 51 + "@" + "b." * 100 + "org", "254 octets"),
        ("a@" + "b." * 1_000_000 + "org", "254 octets"),
        ('"' + r"\a" * 500_000 + '"@example.org', "254 octets"),
    ],
)
def test_what_is_no_address_is_told_why(typed, reason):
    with pytest.raises(InvalidRecipientError, match=reason) as refused:
        canonical(typed)
    assert not typed or str(typed) not in str(refused.value)


letters = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
spellings = st.one_of(
    st.from_regex(r"[a-z0-9.+_-]{1,12}", fullmatch=True),
    letters,
    letters.map(lambda text: f'"{text}"'),
    letters.map(lambda text: f'"=?utf-8?q?{text}?="'),
    letters.map(lambda text: f"=?utf-8?q?{text}?="),
    letters.map(lambda text: '"' + "".join(f"\\{letter}" for letter in text) + '"'),
)
domains = st.one_of(
    st.from_regex(r"([a-zA-Z0-9ßäö-]{1,9}[.。]){1,3}[a-z]{2,5}", fullmatch=True),
    letters,
    letters.map(lambda text: f"{text}.org"),
)


@given(spellings, domains)
def test_a_form_is_its_own_form(local, domain):
    try:
        written = canonical(f"{local}@{domain}")
    except InvalidRecipientError:
        return
    assert canonical(written) == written
    assert addr_spec(written) == written
    assert written.rpartition("@")[2].isascii()
    assert len(written.encode()) <= 254
    assert not any(unicodedata.category(letter)[0] in "CZ" for letter in written.replace(" ", "x"))


@given(st.text(st.characters(), max_size=40))
def test_anything_has_a_form_or_a_reason(text):
    for address in (text, f"{text}@example.org", f"a@{text}.org", f'"{text}"@{text}'):
        with contextlib.suppress(InvalidRecipientError):
            canonical(address)


@given(spellings)
def test_quotes_make_no_other_address(local):
    try:
        bare = canonical(f"{local}@example.org")
    except InvalidRecipientError:
        return
    name = bare.rpartition("@")[0]
    assume(not name.startswith('"'))
    assert canonical(f'"{name}"@example.org') == bare
    assert canonical('"' + "".join(f"\\{letter}" for letter in name) + '"@example.org') == bare


# Any mail's addresses, which may have a name


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("alice@EXAMPLE.org", "alice@EXAMPLE.org"),
        ("Alice <alice@example.org>", "alice@example.org"),
        ("Example Inc. <shop@example.org>", "shop@example.org"),
        ("Example Inc.<shop@example.org>", "shop@example.org"),
        ('J. R. "Bob" Dobbs <bob@example.org>', "bob@example.org"),
        ("Größe AG. <shop@straße.example>", "shop@xn--strae-oqa.example"),
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        ("Taro <a..b@docomo.ne.jp>", "a..b@docomo.ne.jp"),
        ("abc.@ezweb.ne.jp", "abc.@ezweb.ne.jp"),
        ("Jürgen <jürgen@example.org>", "jürgen@example.org"),
        ("webmaster", "webmaster"),
        ("root@_internal", "root@_internal"),
    ],
)
def test_the_bare_address_is_taken_out(text, bare):
    assert addr_spec(text) == bare
    assert domain_of(text) == bare.rpartition("@")[2].lower() * ("@" in bare)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "Foo, Inc. <a@example.org>",
        "a@example.org, b@example.org",
        "to@other.org <to@example.org>",
        "a b@example.org",
        'a"b@example.org',
        "a@example.org>",
        "a@example.org\nBcc: b@example.org",
        "a@\u200d.example",
        "a@exam" + "\u00ad" * 1000 + "ple.org",
    ],
)
def test_anything_but_one_mailbox_is_refused(text):
    with pytest.raises(ValueError, match=r"Invalid address|not a domain name") as caught:
        addr_spec(text)
    assert not text or text not in str(caught.value)
    assert domain_of(text) == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("shop@example.org", "shop@example.org"),
        ("Shop <shop@example.org>", "Shop <shop@example.org>"),
        ("Example Inc. <shop@example.org>", '"Example Inc." <shop@example.org>'),
        ("Größe AG. <shop@straße.example>", '"Größe AG." <shop@xn--strae-oqa.example>'),
        (
            '"a@straße.example" <a@straße.example>, b@straße.example',
            '"a@straße.example" <a@xn--strae-oqa.example>, b@xn--strae-oqa.example',
        ),
        ("a..b@straße.example", '"a..b"@xn--strae-oqa.example'),
        ("a..b <.a@docomo.ne.jp>", '"a..b" <".a"@docomo.ne.jp>'),
        ("b.@ezweb.ne.jp <b.@ezweb.ne.jp>", "b.@ezweb.ne.jp <b.@ezweb.ne.jp>"),
        ('"a b.."@example.org', '"a b.."@example.org'),
        ("b.", '"b."'),
        ("no address: at all, <", "no address: at all, <"),
        ("undisclosed-recipients:;", "undisclosed-recipients:;"),
        ("Größe:;", "Größe:;"),
        ("bob@example.org (Bob)", "bob@example.org (Bob)"),
        ('"Bob  B" <bob@example.org>,c@example.org', '"Bob  B" <bob@example.org>,c@example.org'),
        ("Ä. <a@example.org>, b@ß.example", '"Ä." <a@example.org>, b@xn--zca.example'),
        ("webmaster", "webmaster"),
    ],
)
def test_a_header_is_spelt_for_every_backend(text, written):
    assert spelt(text) == written


@given(st.text(st.sampled_from('a@.<>",;:()[]\\ ß\u2028\n')))
def test_any_text_holds_one_address_or_is_refused(text):
    with contextlib.suppress(ValueError):
        addr_spec(text)
    assert isinstance(spelt(text), str)


def test_patterns_of_domains_are_in_ascii_too():
    assert in_ascii("*.straße.example") == "*.xn--strae-oqa.example"
    assert in_ascii("Yahoo.*") == "Yahoo.*"
    with pytest.raises(ValueError, match="not a domain name"):
        in_ascii("stra*ß.example")


def test_only_a_local_part_needs_smtputf8():
    assert needs_utf8("jürgen@example.org")
    assert needs_utf8("jürgen")
    assert not needs_utf8("juergen@bücher.example")
