"""A policy for `email` under which what was read is written again as it was.

Python's own keep the words of a header and not its blanks. A header that is set afterwards is
written as by the policy that this one is made of.

In: a policy. Out: one that differs in nothing else.
"""

from collections.abc import Sequence
from email.policy import EmailPolicy
from typing import Any, override


def verbatim(policy: EmailPolicy) -> EmailPolicy:
    """Give a policy that writes what it read."""
    return _Verbatim(**{name: getattr(policy, name) for name in COPIED})


COPIED = ("cte_type", "header_factory", "linesep", "max_line_length", "utf8")


class _Read(str):
    """What stood behind a header's colon."""

    __slots__ = ()


class _Verbatim(EmailPolicy):
    @override
    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        name, _, value = "".join(sourcelines).partition(":")
        return name, _Read(value.rstrip("\r\n"))

    @override
    def header_fetch_parse(self, name: str, value: Any) -> Any:
        return super().header_fetch_parse(name, value.strip() if type(value) is _Read else value)

    @override
    def fold_binary(self, name: str, value: Any) -> bytes:
        if type(value) is not _Read:
            return super().fold_binary(name, value)
        lines = self.linesep.join(f"{name}:{value}".splitlines())
        return (lines + self.linesep).encode("utf-8", "surrogateescape")
