"""What a process knows of its routes is forgotten by a forked child, and when settings change.

In: how to make what is kept of one route. Out: a mapping that makes it at first use.
"""

import os
from collections.abc import Callable
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

_all: "list[PerRoute[Any]]" = []


class PerRoute[T](dict[str, T]):
    """One thing a route. ``drop`` is called on each that a change of settings makes old."""

    def __init__(
        self, make: Callable[[str], T], *, drop: Callable[[T], None] | None = None
    ) -> None:
        super().__init__()
        self._make = make
        self._drop = drop
        _all.append(self)

    def __missing__(self, route: str) -> T:
        return self.setdefault(route, self._make(route))  # of two threads, both get the first's

    def drop(self) -> None:
        """Start anew."""
        while self:
            _, thing = self.popitem()
            if self._drop is not None:
                self._drop(thing)


def _forget_in_child() -> None:
    for things in _all:  # not a word on the connections, which are the parent's
        things.clear()


os.register_at_fork(after_in_child=_forget_in_child)


@receiver(setting_changed)
def _settings_changed(*, setting: str, **_: Any) -> None:
    if setting in {"MAILERS", "OTPMAIL_ROUTE_RATES"} or setting.startswith("EMAIL_"):
        for things in _all:
            things.drop()
