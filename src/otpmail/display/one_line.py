"""What stands in a mail by somebody's wish is one line of plain text, and all of it is seen.

In: any text. Out: one line, without line breaks, controls, what turns the direction of writing
(Unicode Bidirectional Algorithm, 2), and what takes no ink.
Knows nothing of: mails, languages.
"""

import re
import unicodedata

UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
"""Controls; format characters, such as joiners and those of direction; halves of characters."""

UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff]"
)
"""Fillers, blanks and selectors of other categories (Default_Ignorable_Code_Point, and U+2800)."""


def one_line(text: str) -> str:
    """Make one line of a text, its words one space apart."""
    return " ".join("".join(map(_seen, text)).split())


def is_unseen(char: str) -> bool:
    """Tell whether a character takes no ink, and is no space."""
    is_format = unicodedata.category(char) in UNSEEN_CATEGORIES
    return (is_format and not char.isspace()) or UNSEEN.match(char) is not None


def _seen(char: str) -> str:
    return "" if is_unseen(char) else char
