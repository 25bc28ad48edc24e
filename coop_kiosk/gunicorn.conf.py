"""The kiosk under gunicorn: threads that wait for the database, and time to end well."""

# ruff: noqa: N999 - gunicorn's own name for it
import os
import socket
import struct
import sys
from typing import Any

wsgi_app = "coop_kiosk.wsgi"
bind = os.environ.get("BIND", "127.0.0.1:8000")
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
preload_app = False  # each worker has an engine of its own, started after the fork

# A worker that ends lets its mails in flight arrive; only then may gunicorn kill it.
graceful_timeout = int(float(os.environ.get("OTPMAIL_DRAIN_SECONDS", "10"))) + 20
control_socket_disable = True  # it would stand in the home directory, and nobody asks it
umask = 0o077  # as in the settings
accesslog = None  # the proxy in front keeps one


READ_SECONDS = int(os.environ.get("READ_SECONDS", "5"))
"""How long a thread waits for a client's next bytes. A proxy in front bounds whole requests."""


def when_ready(server: Any) -> None:
    """Let no client keep a thread by saying nothing: accepted sockets inherit it (Linux)."""
    seconds = struct.pack("ll", READ_SECONDS, 0)
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, seconds)


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn's hook
    """Let a request that wakes up take its turn from a courier after 0.5 ms instead of 5."""
    sys.setswitchinterval(0.0005)
