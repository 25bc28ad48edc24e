"""An address on the wire is a path that cannot be anything else (RFC 5321, 4.1.2).

In: an addr-spec. Out: ``<local@domain>`` in bytes, the domain in ASCII.
Knows nothing of: display names, headers, and whether the address exists.
"""

import re
import unicodedata

from otpmail.wire.errors import InvalidArgumentError, Phase, UnsupportedError

MAX_PATH = 254
"""Octets of an address: a path has 256 with its brackets (RFC 5321, 4.5.3.1.3)."""

MAX_LABEL = 63

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
DOT_STRING = re.compile(r'[^\s<>()\[\]\\,;:@"]+')  # RFC 5321 forbids 'a..b'; such mailboxes exist
QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
LITERAL = re.compile(r"\[[A-Za-z0-9:.\-]+\]")
DOTS = re.compile("[.\u3002\uff0e\uff61]")

KEPT = frozenset("ßς")
"""Letters that IDNA 2003 turns into others, and 2008 keeps: another domain (RFC 5894, 7.2)."""

JOINERS = frozenset("\u200c\u200d")
"""Characters that IDNA 2003 drops and 2008 keeps in places: no address is guessed here."""


def path(address: str, *, phase: Phase, utf8: bool = False) -> bytes:
    """Write an address as a path; the empty one is the null reverse-path ``<>``.

    Raises `InvalidArgumentError` if it could end the command or is no address, and
    `UnsupportedError` if its local part needs SMTPUTF8 and ``utf8`` is not given.
    """
    if CONTROL.search(address):
        raise InvalidArgumentError("an address holds a control character", phase=phase)
    local, at, domain = _split(address)
    if address and not (DOT_STRING.fullmatch(local) or QUOTED_STRING.fullmatch(local)):
        raise InvalidArgumentError("an address has no valid local part", phase=phase)
    if needs_utf8(address) and not utf8:
        raise UnsupportedError("an address needs SMTPUTF8", phase=phase)
    spec = (local + at + _ascii_domain(domain, phase) if at else local).encode()
    if len(spec) > MAX_PATH:
        raise InvalidArgumentError("an address is too long", phase=phase)
    return b"<%b>" % spec


def needs_utf8(address: str) -> bool:
    """Whether it takes SMTPUTF8 (RFC 6531) to write it: its local part is not ASCII."""
    return not _split(address)[0].isascii()


def _split(address: str) -> tuple[str, str, str]:
    local, at, domain = address.rpartition("@")
    return (local, at, domain) if at else (domain, "", "")


def _ascii_domain(domain: str, phase: Phase) -> str:
    if LITERAL.fullmatch(domain):
        return domain
    if not domain.isascii():
        domain = ".".join(_a_label(label, phase) for label in DOTS.split(domain))
    if not DOMAIN.fullmatch(domain):
        raise InvalidArgumentError("an address has no valid domain", phase=phase)
    return domain


def _a_label(label: str, phase: Phase) -> str:
    """Encode one label as IDNA does (RFC 5890, 2.3.2.1)."""
    if JOINERS & set(label):
        raise InvalidArgumentError("a domain holds a joiner", phase=phase)
    try:
        if KEPT & set(label):
            kept = unicodedata.normalize("NFKC", label.lower())
            encoded = "xn--" + kept.encode("punycode").decode("ascii")
        else:
            encoded = label.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidArgumentError("a domain cannot be written in ASCII", phase=phase) from None
    if len(encoded) > MAX_LABEL:
        raise InvalidArgumentError("a domain's label is too long", phase=phase)
    return encoded
