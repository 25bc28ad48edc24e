"""A code is derived, never stored: a keyed digest of all that it stands for.

In: a way to sign and a challenge's facts. Out: digits. And: typed text in, digits or None out.
Knows nothing of: rows, rings, time.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterator
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from otpmail.display import one_line

NONCE_BYTES = 16

MAX_TYPED = 1000
"""Characters of what is looked through for a code: more than the first line of a mail has."""

DASHES = frozenset("\u2053\u207b\u208b\u2212\u2043\u30fb\uff65")
"""Dashes and hyphens (Unicode, PropList) whose category is another than that of dashes."""

MARKS = frozenset({"Mn", "Me"})
"""What stands on a character, such as the frame of a keycap."""

_GROUP = re.compile(r"[0-9](?:[0-9 ]*[0-9])?")
_NUMBER = re.compile(r" *[0-9][0-9 ]*")
_LABEL = b"otpmail code v1\0"


def derive(
    sign: Callable[[bytes], bytes],
    *,
    challenge_id: UUID,
    generation: int,
    nonce: bytes,
    purpose: str,
    owner: str,
    binding: bytes,
    digits: int,
) -> str:
    """Derive a code of so many digits, leading zeros kept.

    ``sign`` is HMAC-SHA256 under the purpose's key. The message has a fixed length, so that no two
    sets of facts share one; then the whole digest mod 10^digits, so that every code is as likely
    as any other (bias below 2^-220).
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    message = b"".join(
        (
            _LABEL,
            challenge_id.bytes,
            generation.to_bytes(4),
            nonce,
            hashlib.sha256(purpose.encode()).digest(),
            hashlib.sha256(owner.encode()).digest(),
            binding,
        )
    )
    number = int.from_bytes(sign(message))
    return f"{number % 10**digits:0{digits}d}"


def compare(code: str, typed: str) -> bool:
    """Compare two codes in a time that tells nothing of where they differ."""
    return hmac.compare_digest(code.encode(), typed.encode())


@sensitive_variables()
def normalise(typed: str, digits: int) -> str | None:
    """Read what a person typed or pasted: the only run of so many digits in it, or None.

    Spaces, dashes and line breaks between digits, and characters that nobody sees, do not matter;
    any script's digits become ASCII. What is typed alone is read whole: a digit too many is no
    code. In a sentence, other numbers may stand beside it; two that may be the code are none, and
    the same one twice is one.
    """
    if len(typed) > MAX_TYPED:
        return None
    text = "".join(map(_plain, typed))
    groups = [match[0].split() for match in _GROUP.finditer(text)]
    if _NUMBER.fullmatch(text) and not _is_whole(groups[0], digits):
        return None
    found = {code for group in groups for code in _runs(group, digits)}
    return found.pop() if len(found) == 1 else None


def _plain(char: str) -> str:
    """Give ASCII for a digit, a space for what may stand between two, nothing for the unseen."""
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(char)
    if char.isspace() or category == "Pd" or char in DASHES:
        return " "
    return "" if category in MARKS or one_line.is_unseen(char) else char


@sensitive_variables()
def _is_whole(group: list[str], digits: int) -> bool:
    """Tell whether it is one code in whatever pieces, or each piece is one."""
    sizes = [len(run) for run in group]
    return sum(sizes) == digits or set(sizes) == {digits}


@sensitive_variables()
def _runs(group: list[str], digits: int) -> Iterator[str]:
    """Join neighbours in each way that gives so many digits."""
    for start in range(len(group)):
        joined = ""
        for run in group[start:]:
            joined += run
            if len(joined) == digits:
                yield joined
            if len(joined) >= digits:
                break
