"""Ask how far a reader walks: calls of otpmail's functions on each way, and changes of file.

Each function that is called is one step, in the order of the calls; a change is a step into another
file than the one before. Settings that are read, and expressions that are functions to Python
alone, are no steps.
"""

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connection, connections

import otpmail
from benchmarks.processor import configure, sink
from otpmail import conf

HOME = str(Path(otpmail.__file__).parent)


def main() -> None:
    """Walk each way twice, and print what the second time took."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configure(f"sqlite:///{home}/db", stack.enter_context(sink(home)))
        name = connection.creation.create_test_db(verbosity=0, serialize=False)
        stack.callback(connection.creation.destroy_test_db, name, verbosity=0)
        stack.callback(connections.close_all)
        list(ways("alice"))  # connects, compiles and fills caches
        print(f"{'way':24}{'calls':>8}{'files':>8}{'changes':>9}")
        for way, files in ways("bob"):
            changes = sum(one != other for one, other in itertools.pairwise(files))
            print(f"{way:24}{len(files):>8}{len(set(files)):>8}{changes:>9}")


def ways(who: str) -> Iterator[tuple[str, list[str]]]:
    """Go each way once. Gives the file of each step."""
    from otpmail import challenges, engines, testing

    engine: Any = engines.current()
    issued, files = walked(lambda: challenges.issue("a", owner=who, recipient=f"{who}@example.org"))
    yield "issue", files
    yield "round, a code", walked(engine.round)[1]
    code = testing.live_code(issued.challenge_id)
    yield "status", walked(lambda: challenges.status("a", issued.challenge_id, owner=who))[1]
    yield "verify", walked(lambda: challenges.verify("a", issued.challenge_id, code, owner=who))[1]


def walked(go: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Do something. Gives its result, and the file of each function of ours that it called."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_step = code.co_filename.startswith(HOME) and not code.co_name.startswith("<")
        if event == "call" and is_step and code.co_filename != conf.__file__:
            files.append(code.co_filename)

    sys.setprofile(note)
    try:
        return go(), files
    finally:
        sys.setprofile(None)


if __name__ == "__main__":
    main()
