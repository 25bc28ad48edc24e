"""The threads of tries: what lost the hedge, or was not waited for, ends by itself."""

import sys
import threading
import traceback

from tests.waiting import wait_until


def wait_for_their_end() -> None:
    """Wait until no try is under way, and fail with where all threads are if one does not end."""
    wait_until(lambda: not _under_way(), told=_where_all_are)


def _under_way() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("otpmail-try")]


def _where_all_are() -> str:
    frames, names = sys._current_frames(), {one.ident: one.name for one in threading.enumerate()}
    return "".join(
        f"{names.get(ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in frames.items()
    )
