"""The demo's mail server, which can be told while it runs to be slow to answer.

``python -m benchmarks.mailserver SMTP_PORT JOURNAL DELAY``: each mail is noted in the journal when
it is taken; its 250 comes as many seconds later as the file ``DELAY`` says, if it is there.
"""

import asyncio
import logging
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from demo.mailserver import HOST, Mailbox


class Slow(Mailbox):
    """Takes a mail at once, and says so later."""

    def __init__(self, journal: Path, delay: Path) -> None:
        super().__init__(journal)
        self._delay = delay

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep one mail (aiosmtpd's hook)."""
        answer = await super().handle_DATA(server, session, envelope)
        if self._delay.exists():
            await asyncio.sleep(float(self._delay.read_text() or 0))
        return answer


def main(port: int, journal: Path, delay: Path) -> None:
    """Serve until the process is stopped."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    controller = Controller(Slow(journal, delay), hostname=HOST, port=port)
    controller.start()
    controller._thread.join()  # type: ignore[union-attr]


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
