"""Six letters name a request to a person: the end of its id, of which nobody takes any for a code.

In: an id. Out: a reference; and from a reference, the end of its id.
Knows nothing of: rows.
"""

import re
from uuid import UUID

LENGTH = 6
FIGURES = "0123456789abcdef"
LETTERS = "BCDFGHJKMNPRSTVX"
"""One for each figure: no vowel, so that they make no words, and none that looks like another."""

FORM = re.compile(f"[{LETTERS}]{{{LENGTH}}}")


def of(challenge_id: UUID) -> str:
    """Give a challenge's reference."""
    return challenge_id.hex[-LENGTH:].translate(str.maketrans(FIGURES, LETTERS))


def end_of_id(reference: str) -> str:
    """Give the figures that an id with this reference ends in."""
    return reference.translate(str.maketrans(LETTERS, FIGURES))
