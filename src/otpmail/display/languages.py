"""The language in which our own words are shown, and the way in which it is written.

In: the active language, the catalogues. Out: a language's tag; ``ltr`` or ``rtl``.
Knows nothing of: whose mail it is.

A project may be in a language of which no catalogue has our words: they are shown in that of
``LANGUAGE_CODE`` then, or as they stand, in English. What reads a mail aloud must know.
"""

from django.conf import settings
from django.utils.translation import get_language, gettext, override

SOURCE = "en"

_SENTENCE = "%(code)s is your code."
"""One that each catalogue of ours has: it is the first of a mail."""


def shown() -> str:
    """Give the language of our words where the active one is asked for."""
    active, default = get_language(), settings.LANGUAGE_CODE
    words = gettext(_SENTENCE)
    if active is None or words == _SENTENCE:
        return SOURCE
    with override(default):
        is_default = gettext(_SENTENCE) == words
    return default if is_default and _base(active) != _base(default) else active


def direction(language: str) -> str:
    """Tell which way a language is written."""
    return "rtl" if _base(language) in settings.LANGUAGES_BIDI else "ltr"


def _base(language: str) -> str:
    return language.partition("-")[0].lower()
