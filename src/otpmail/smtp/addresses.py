"""An address on the wire is a path that cannot be anything else (RFC 5321, 4.1.2).

In: an addr-spec, its domain in ASCII. Out: ``<local@domain>`` in bytes.
Knows nothing of: display names, headers, IDNA, and whether the address exists.
"""

import re

from otpmail.smtp.errors import InvalidArgumentError, Phase, UnsupportedError

MAX_PATH = 254
"""Octets of an address: a path has 256 with its brackets (RFC 5321, 4.5.3.1.3)."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
DOT_STRING = re.compile(r'[^\s<>()\[\]\\,;:@"]+')  # RFC 5321 forbids 'a..b'; such mailboxes exist
QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
LITERAL = re.compile(r"\[[A-Za-z0-9:.\-]+\]")


def path(address: str, *, phase: Phase, utf8: bool = False) -> bytes:
    """Write an address as a path; the empty one is the null reverse-path ``<>``.

    Raises `InvalidArgumentError` if it could end the command or is no address, and
    `UnsupportedError` if its local part needs SMTPUTF8 (RFC 6531) and ``utf8`` is not given.
    """
    if CONTROL.search(address):
        raise InvalidArgumentError("an address holds a control character", phase=phase)
    local, at, domain = address.rpartition("@")
    if not at:
        local = domain
    if address and not (DOT_STRING.fullmatch(local) or QUOTED_STRING.fullmatch(local)):
        raise InvalidArgumentError("an address has no valid local part", phase=phase)
    if not local.isascii() and not utf8:
        raise UnsupportedError("an address needs SMTPUTF8", phase=phase)
    if at and not (DOMAIN.fullmatch(domain) or LITERAL.fullmatch(domain)):
        raise InvalidArgumentError("an address has no valid domain", phase=phase)
    spec = address.encode()
    if len(spec) > MAX_PATH:
        raise InvalidArgumentError("an address is too long", phase=phase)
    return b"<%b>" % spec
