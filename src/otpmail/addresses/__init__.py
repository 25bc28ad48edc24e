"""One form of an e-mail address, made once: what a mail server is told.

In: what somebody typed, or an address with a name beside it. Out: the bare address, its domain in
ASCII; or ``ValueError`` with the reason, which repeats nothing of what was typed.
Knows nothing of: whether the address exists.

``mailboxes`` tells which addresses are one mailbox, ``masking`` hides an address from others, and
``requester`` is who asks; ``spelling`` writes a mail's addresses so that every backend reads them.

IDNA 2008 (RFC 5890 to 5894) with the mapping of UTS #46, non-transitional, as browsers and mail
servers have it: under IDNA 2003, which Python's codec and Django's ``punycode`` speak, mail to
``straße.example`` goes to ``strasse.example``, which is somebody else's.
"""

import re
import unicodedata
from email.headerregistry import Address, AddressHeader
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import idna
from django.utils.functional import Promise

from otpmail.display import one_line
from otpmail.exceptions import InvalidRecipientError

LOCAL_OCTETS = 64
"""Of a local part, its quotes included (RFC 5321, 4.5.3.1.1)."""

OCTETS = 254
"""Of an address: a path has 256 with its brackets (RFC 5321, 4.5.3.1.3)."""

READ_LENGTH = 1000
"""Characters read at most: a megabyte is not normalised to find out that it is too long."""

CACHED = 256
"""Addresses that are parsed once: senders, above all."""

NO_NAME = "its domain is not a domain name"
NO_LETTERS = "it holds letters that no mail server here takes"

PLAIN = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
"""What needs no parser, which takes 100 times as long."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# RFC 5322 has no dot at an end nor two in a row, and docomo's and ezweb's older mailboxes do.
DOT_STRING = re.compile(r"""[^\s<>()\[\]\\,;:@"]+""")
ODD_DOTS = re.compile(r"^\.|\.\.|\.$")
QUOTED_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LITERAL = re.compile(r"\[(?:(IPv6:)([0-9a-f:.]+)|([0-9.]+))\]", re.IGNORECASE)

ACCEPTED_DEFECTS = frozenset(
    {
        "addr-spec local part with no domain",  # local mailboxes are mailboxes
        "local-part contains non-ASCII characters)",  # what SMTPUTF8 is for
        # A name with a dot, as in "Example Inc.", which RFC 5322, 4.1, has everybody accept.
        "period in 'phrase'",
        "comment found without atom",
        # Dots in a row and at an end: see `DOT_STRING`.
        "invalid repeated '.'",
        "Invalid leading '.' in local part",
        "Invalid trailing '.' in local part",
        "local-part is not dot-atom, quoted-string, or obs-local-part",
    }
)
"""What Python's parser minds and mail servers do not."""


def canonical(address: object) -> str:
    """Give an address as the wire writes it: two that a server cannot tell apart come out alike.

    Quotes are left off where none are needed (RFC 5321, 4.1.2), full-width letters are narrow (RFC
    8265, 3.3.1), the local part is in NFC (RFC 6532, 3.1), the domain in ASCII and small letters.
    Takes text, lazy text too. Raises `InvalidRecipientError` with the reason for anything else than
    one bare address at a domain of two labels or more, an address literal, or ``localhost``.
    """
    try:
        return _canonical(_narrow(_text(address)))
    except ValueError as error:
        raise InvalidRecipientError(f"a code goes to one e-mail address: {error}") from None


def text_of(address: object) -> str:
    """Read an address: the characters of what is text, whatever a class of its own says it is."""
    return "".join(address) if isinstance(address, str) else str(address)  # it may be lazy


def addr_spec(address: object) -> str:
    """Take the bare address out of one that may have a name; the domain in ASCII, all else as is.

    Raises ``ValueError`` for anything but one mailbox. The address itself stays out of its words.
    """
    text = text_of(address)
    return text if PLAIN.fullmatch(text) else _addr_spec(text)


@lru_cache(CACHED)
def _addr_spec(text: str) -> str:
    mailboxes = _parsed(text).all_mailboxes
    if len(mailboxes) != 1:
        raise ValueError("Invalid address: must be a single address")
    local, at, domain = str(mailboxes[0].addr_spec).rpartition("@")
    return local + at + in_ascii(domain) if at else domain


@lru_cache(CACHED)
def spelt(text: str) -> str:
    """Write the addresses of a header so that any backend takes them.

    Each domain is in ASCII; names and local parts are in quotes where RFC 5322 wants some, for dots
    too. What is in order stays as it is, and what holds no address, for the backend to refuse.
    """
    if PLAIN.fullmatch(text):
        return text
    try:
        parsed = _parsed(text)
        if text.isascii() and not parsed.all_defects:
            return text
        return ", ".join(map(_spelt, parsed.all_mailboxes)) or text
    except ValueError:
        return text


def _spelt(mailbox: Any) -> str:
    domain = in_ascii(mailbox.domain or "")
    address = Address(mailbox.display_name or "", mailbox.local_part, domain)
    name, bare = address.username, address.addr_spec
    if not (bare.startswith(name) and ODD_DOTS.search(name)):
        return str(address)
    before, _, after = str(address).rpartition(bare)
    return f'{before}"{name}"{bare.removeprefix(name)}{after}'


def domain_of(address: object) -> str:
    """Give the domain of an address, which may have a name; empty if it has none or is none."""
    try:
        _, at, domain = addr_spec(address).rpartition("@")
    except ValueError:
        return ""
    return domain.lower() if at else ""


def needs_utf8(address: str) -> bool:
    """Whether it takes SMTPUTF8 (RFC 6531) to write it: its local part is not ASCII."""
    local, at, domain = address.rpartition("@")
    return not (local if at else domain).isascii()


def in_ascii(domain: str) -> str:
    """Write a domain in ASCII; one that is, as it stands. Raises ``ValueError`` if none can be."""
    if domain.isascii():
        return domain
    if len(domain) > READ_LENGTH:
        raise ValueError(NO_NAME)
    try:
        labels = idna.uts46_remap(domain, std3_rules=False).split(".")
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode() for label in labels
        )
    except UnicodeError:  # its words quote the domain
        raise ValueError(NO_NAME) from None


def _parsed(text: str) -> Any:
    if CONTROL.search(text):
        raise ValueError("Invalid address: it holds a control character")
    try:
        parsed = AddressHeader.value_parser(text)
    except Exception:  # noqa: BLE001 - Python's parser has an IndexError and more for odd texts
        raise ValueError("Invalid address: it cannot be read") from None
    defects = {str(defect) for defect in parsed.all_defects} - ACCEPTED_DEFECTS
    if defects:
        raise ValueError(f"Invalid address: {'; '.join(sorted(defects))}")
    return parsed


def _canonical(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at:
        raise ValueError("there is no @ in it")
    spec = f"{_local(local)}@{_domain(domain)}"
    if len(spec.encode()) > OCTETS:
        raise ValueError(f"no address is longer than {OCTETS} octets")
    if addr_spec(spec) != spec:  # Python's parser, which backends ask, takes it for another
        raise ValueError(NO_LETTERS)
    return spec


def _text(address: object) -> str:
    if not isinstance(address, str | Promise):
        raise ValueError(f"it is of type {type(address).__name__} and no text")  # noqa: TRY004
    text = text_of(address)
    if not text:
        raise ValueError("it is empty")
    if len(text) > READ_LENGTH:
        raise ValueError(f"no address is longer than {OCTETS} octets")
    return text


def _narrow(text: str) -> str:
    """Give full-width and half-width letters, as input methods write them, their usual width."""
    if text.isascii():
        return text
    wide = ("<wide>", "<narrow>")
    return "".join(
        unicodedata.normalize("NFKC", letter)
        if unicodedata.decomposition(letter).startswith(wide)
        else letter
        for letter in text
    )


def _local(written: str) -> str:
    quoted = QUOTED_STRING.fullmatch(written)
    if not written or written == '""':
        raise ValueError("it has no local part")
    local = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else written
    local = unicodedata.normalize("NFC", local)
    if any(_is_no_letter(letter) for letter in local):
        raise ValueError(NO_LETTERS)
    needs_none = DOT_STRING.fullmatch(local)
    if not quoted and not needs_none:
        raise ValueError("it holds more than a bare address")
    spelt = local if needs_none else '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
    if len(spelt.encode()) > LOCAL_OCTETS:
        raise ValueError(f"no local part is longer than {LOCAL_OCTETS} octets")
    return spelt


def _is_no_letter(letter: str) -> bool:
    """Tell controls, what is not seen, what turns the line or ends it, and what is not assigned."""
    is_other = unicodedata.category(letter)[0] in "CZ" or one_line.is_unseen(letter)
    return is_other and letter != " "


def _domain(written: str) -> str:
    if (literal := LITERAL.fullmatch(written)) is not None:
        return _literal(*literal.groups())
    name = in_ascii(written).lower()
    labels = name.split(".")
    is_name = len(labels) > 1 and not labels[-1].isdigit()  # RFC 3696, 2
    if not (name == "localhost" or is_name) or not all(map(_is_label, labels)):
        raise ValueError(NO_NAME)
    return name


def _is_label(label: str) -> bool:
    if not LABEL.fullmatch(label):
        return False
    try:
        return not label.startswith("xn--") or bool(idna.ulabel(label))
    except UnicodeError:
        return False


def _literal(is_6: str | None, six: str | None, four: str | None) -> str:
    try:
        return f"[IPv6:{IPv6Address(six or '')}]" if is_6 else f"[{IPv4Address(four or '')}]"
    except ValueError:
        raise ValueError("its domain is no address literal") from None
