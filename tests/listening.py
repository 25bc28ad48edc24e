"""Who listens to every signal of otpmail's in every test, and holds it to the reference."""

import re
from typing import Any

import reference
from otpmail import signals

TOLD = {
    name: set(re.findall(r"`(\w+)`", arguments))
    for name, arguments in re.findall(
        r"^\| `(\w+)` \| (.*?) \|", reference.receivers(), re.MULTILINE
    )
}
"""Each signal, and what the reference says that its receivers are called with."""

lacking: list[str] = []
"""What was sent without something that the reference tells, and has not been seen by a test yet."""


class Listener:
    """One receiver of one signal."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, **named: Any) -> None:
        if missing := TOLD[self._name] - named.keys():
            lacking.append(f"{self._name} was sent without {', '.join(sorted(missing))}")


def listen() -> None:
    """Listen, for as long as this process lives."""
    for name in TOLD:
        getattr(signals, name).connect(Listener(name), weak=False, dispatch_uid="the reference")
