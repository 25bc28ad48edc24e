"""What happens in other threads is done in one: they put it here, and are told if it has left.

In: calls, from any thread. Out: the same, one by one, in the thread that made this.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

type Call = Callable[[], object]


class CallQueue:
    """A queue that can be over: then nothing is taken any more, and nothing is left undone."""

    def __init__(self) -> None:
        self._home = threading.get_ident()
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._unanswered: set[queue.SimpleQueue[bool]] = set()
        self.over = False

    def put(self, call: Call) -> bool:
        """Have something done. Returns False if nobody is there to do it."""
        with self._lock:
            if not self.over:
                self._queue.put(call)
            return not self.over

    def ask(self, question: Callable[[], bool]) -> bool:
        """Have a question answered there, and wait; no, if nobody is there."""
        if threading.get_ident() == self._home:
            return question()
        answer: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def reply() -> None:
            said = False
            try:
                said = not self.over and question()
            finally:
                answer.put(said)

        self._unanswered.add(answer)
        try:
            return self.put(reply) and answer.get()
        finally:
            self._unanswered.discard(answer)

    def get(self, *, seconds: float) -> Call | None:
        """Wait for the next; None if there is none in time."""
        with suppress(queue.Empty):
            return self._queue.get(timeout=seconds)
        return None

    def end(self) -> None:
        """Take no more, and do what is left. Who still waits is told no.

        A fault may have struck between a call's leaving the queue and its being done.
        """
        with self._lock:
            self.over = True
        for answer in self._unanswered.copy():
            answer.put(False)
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()()
