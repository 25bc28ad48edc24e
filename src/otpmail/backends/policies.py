"""Python's policies for writing e-mail, as its library has them, and faster.

The library makes a class for each header of each mail, and parses ``Content-Type: text/plain`` of
every one anew: it is a third of what it takes to send a mail. Here a class is made once for a name,
and what is the same in most mails is parsed and folded once for a value.

In: headers. Out: the same bytes as from ``email.policy``.
"""

import email.policy
from email.headerregistry import BaseHeader, HeaderRegistry
from functools import lru_cache
from typing import Any, override

SAME_IN_MOST = frozenset(
    {
        "auto-submitted",
        "content-transfer-encoding",
        "content-type",
        "from",
        "mime-version",
        "x-auto-response-suppress",
    }
)
"""Names of headers whose values come again; others would only push them out of memory."""

REMEMBERED = 256
"""Values, and as many names; the least recently used go first."""


class _Headers(HeaderRegistry):
    @override
    def __getitem__(self, name: str) -> type:
        return _class_of(name)


@lru_cache(REMEMBERED)
def _class_of(name: str) -> type:
    made: type = HeaderRegistry()[name]
    return made


class _Policy(email.policy.EmailPolicy):
    @override
    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        again = type(value) is str and name.lower() in SAME_IN_MOST
        return (_parsed if again else _parse)(self, name, value)

    @override
    def fold_binary(self, name: str, value: Any) -> bytes:
        if not isinstance(value, BaseHeader) or name.lower() not in SAME_IN_MOST:
            return super().fold_binary(name, value)
        known = vars(
            value
        )  # two that are equal need not fold alike: one may quote what another does not
        if _FOLDED not in known:
            known[_FOLDED] = super().fold_binary(name, value)
        folded: bytes = known[_FOLDED]
        return folded


_parse = email.policy.EmailPolicy.header_store_parse
_parsed = lru_cache(REMEMBERED)(_parse)
_FOLDED = "_folded"


SMTP = _Policy(linesep="\r\n", header_factory=_Headers())
"""As ``email.policy.SMTP``."""

SMTPUTF8 = SMTP.clone(utf8=True)
"""As ``email.policy.SMTPUTF8``."""
