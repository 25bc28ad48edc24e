"""A small real mail server for development: it takes every mail, keeps it, and shows it on a page.

In: SMTP on one port. Out: a page on another, and ``/mails.json`` for programs. Run it with
``python -m demo.mailserver SMTP_PORT PAGE_PORT [JOURNAL]``: to that file, a line of JSON is added
for each mail before it is answered, and it outlives the server.
"""

import html
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
KEPT = 200


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it came. ``accepted_at`` is in seconds since 1970, taken before the 250."""

    accepted_at: float
    to: str
    subject: str
    message_id: str
    text: str
    size: int


class Mailbox:
    """The mails that came last, newest first."""

    def __init__(self, journal: Path | None) -> None:
        self.mails: list[Mail] = []
        self._journal = journal

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """Keep one mail (aiosmtpd's hook)."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        message = message_from_bytes(raw, policy=policy.default)
        part = message.get_body(("plain",))
        mail = Mail(
            accepted_at=time.time(),
            to=", ".join(envelope.rcpt_tos),
            subject=message["Subject"] or "",
            message_id=message["Message-ID"] or "",
            text=part.get_content() if part else "",
            size=len(raw),
        )
        self.mails = [mail, *self.mails[: KEPT - 1]]
        if self._journal:
            with self._journal.open("a") as journal:
                journal.write(json.dumps(asdict(mail)) + "\n")
        return "250 2.0.0 Ok: kept"


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Mail that came</title>
<meta http-equiv="refresh" content="3"><meta name="color-scheme" content="light dark">
<style>body {{ font-family: system-ui, sans-serif; max-width: 45rem; margin: 2rem auto }}
pre {{ white-space: pre-wrap; border-left: 3px solid; padding-left: 1rem }}</style>
<h1>Mail that came</h1>{mails}"""
ENTRY = "<h2>{subject}</h2><p>to {to}, {time}, {size} bytes</p><pre>{text}</pre>"


def page(mails: list[Mail]) -> str:
    """Show the mails."""
    entries = [
        ENTRY.format(
            subject=html.escape(mail.subject),
            to=html.escape(mail.to),
            time=time.strftime("%H:%M:%S", time.localtime(mail.accepted_at)),
            size=mail.size,
            text=html.escape(mail.text),
        )
        for mail in mails
    ]
    return PAGE.format(mails="".join(entries) or "<p>None yet.</p>")


def serve(smtp_port: int, page_port: int, journal: Path | None = None) -> None:
    """Serve until the process is stopped."""
    mailbox = Mailbox(journal)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            as_json = self.path == "/mails.json"
            body = (
                json.dumps([asdict(mail) for mail in mailbox.mails])
                if as_json
                else page(mailbox.mails)
            )
            self.send_response(200)
            kind = "application/json" if as_json else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing: the demo's own lines are what a newcomer should read."""

    logging.getLogger("mail.log").setLevel(logging.ERROR)
    controller = Controller(mailbox, hostname=HOST, port=smtp_port)
    controller.start()
    ThreadingHTTPServer((HOST, page_port), Pages).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
