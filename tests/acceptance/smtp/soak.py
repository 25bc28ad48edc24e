"""Mails over connections that are cut at random, each sent until it is accepted."""

import itertools
import logging
from concurrent.futures import ThreadPoolExecutor

from otpmail.smtp.client import deliver
from otpmail.smtp.deadlines import Deadline
from otpmail.smtp.handshake import Server, open_session
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.pool import Limits, Pool
from otpmail.smtp.session import Timeouts
from tests.acceptance.smtp.sink import Sink

MAX_TRIES = 200


class Soak:
    """``doubtful`` holds the Message-ID of each mail that was sent again without knowing."""

    def __init__(self, sink: Sink, *, threads: int, window: int = 1, way: str = "chunked") -> None:
        server = Server(
            host=sink.host,
            port=sink.ports[way],
            local_name="soak.example.org",
            timeouts=Timeouts.all(10),
        )
        self.pool = Pool(
            lambda deadline: open_session(server, deadline),
            name="soak",
            limits=Limits(size=threads, min_warm=threads),
        )
        self.doubtful: set[bytes] = set()
        self._threads = threads
        self._window = window
        self._numbers = itertools.count()
        # The keeper tells of each connection that is cut while it opens one: thousands.
        logging.getLogger("otpmail.smtp.pool").setLevel(logging.ERROR)

    def send(self, mails: int) -> None:
        size = 1 if self._window == 1 else 50
        batches = [[next(self._numbers) for _ in range(size)] for _ in range(mails // size)]
        with ThreadPoolExecutor(self._threads) as threads:
            list(threads.map(self._send, batches))

    def _send(self, numbers: list[int]) -> None:
        left = {number: a_mail(number) for number in numbers}
        for _ in range(MAX_TRIES):
            ends = deliver(
                self.pool, [*left.values()], window=self._window, deadline=Deadline.after(60)
            )
            for number, end in zip([*left], ends, strict=True):
                if isinstance(end, Sent):
                    del left[number]
                elif end is not None and end.in_doubt:
                    self.doubtful.add(b"%d" % number)
            if not left:
                return
        raise AssertionError(f"{len(left)} mails were never accepted")

    def close(self) -> None:
        self.pool.close()
        logging.getLogger("otpmail.smtp.pool").setLevel(logging.NOTSET)


def a_mail(number: int) -> Mail:
    return Mail(
        sender="codes@example.org",
        recipients=("alice@example.org",),
        content=b"Message-ID: <%d>\r\nSubject: soak\r\n\r\nx\r\n" % number,
    )
