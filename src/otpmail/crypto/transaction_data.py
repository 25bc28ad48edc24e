"""What a code is bound to, as bytes that two processes of any version write alike.

In: facts, a mapping of names to text or whole numbers. Out: canonical bytes and their digest.
Knows nothing of: rows, keys, purposes.

Each fact is tag, type, length, value: one byte length and the name in ASCII; ``i`` or ``s``; four
bytes length; the value. Text is NFC in UTF-8, a number its decimal digits. Facts stand in the
order of their names. Money is whole minor units beside an ISO 4217 code, a payee the account's id:
floats, names and JSON have more than one spelling, so they are refused or not used.
"""

import hashlib
import unicodedata
from collections.abc import Mapping

VERSION = 1
"""Of this way to write facts."""

TAG_BYTES = 255

type Facts = Mapping[str, str | int]


def canonical(facts: Facts, *, version: int = VERSION) -> bytes:
    """Write facts as canonical bytes. Raises TypeError for a value that is neither text nor int."""
    return bytes([version]) + b"".join(_fact(name, facts[name]) for name in sorted(facts))


def digest(facts: Facts, *, version: int = VERSION) -> bytes:
    """SHA-256 of the canonical bytes: 32 bytes. No facts have a digest too."""
    return hashlib.sha256(canonical(facts, version=version)).digest()


def _fact(name: str, value: str | int) -> bytes:
    tag = name.encode("ascii")
    if not 1 <= len(tag) <= TAG_BYTES:
        raise ValueError(f"a fact's name has 1 to {TAG_BYTES} characters, not {len(tag)}")
    kind, data = _value(name, value)
    return bytes([len(tag)]) + tag + kind + len(data).to_bytes(4) + data


def _value(name: str, value: str | int) -> tuple[bytes, bytes]:
    if isinstance(value, str):
        return b"s", unicodedata.normalize("NFC", value).encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return b"i", str(value).encode("ascii")
    raise TypeError(f"fact {name!r} is text or a whole number, not {type(value).__name__}")
