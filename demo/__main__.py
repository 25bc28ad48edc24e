"""Run everything, tell the story, and stay up; with ``--once``, end by itself."""

import argparse
import contextlib
import signal
import sys

from demo import client, machine
from demo.machine import HOST, DemoError, Ports

HOME = machine.ROOT / "var" / "demo"


def main() -> int:
    """Return the exit status: 0 only if all of it happened."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    try:
        ports = Ports.from_environment()
        ports.check_free()
        environment = machine.prepare(HOME, ports)
        with (
            machine.mail_server(HOME, ports),
            machine.kiosk(HOME, ports, environment),
        ):
            story = client.tell(ports)
            if not once:
                _stay(ports)
    except DemoError as error:
        print(f"The demo stopped. {error}", file=sys.stderr)
        return 1
    print(
        f"confirmed: answered in {story.answered_ms:.1f} ms, mail accepted "
        f"{story.accepted_ms:.1f} ms after the request, mail of {story.mail_bytes} bytes"
    )
    return 0


def _stay(ports: Ports) -> None:
    print(f"""
Look around; Ctrl-C ends it.
  the API, to read and to try   http://{HOST}:{ports.kiosk}/api/v1/docs
  the mail that came            http://{HOST}:{ports.mailbox}/
  the log                       grep Email {HOME / "logs" / "django.log"}
""")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
