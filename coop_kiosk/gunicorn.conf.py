"""The kiosk under gunicorn: threads that wait for the database, and time to end well."""

# ruff: noqa: N999 - gunicorn's own name for it
import os
import sys

wsgi_app = "coop_kiosk.wsgi"
bind = os.environ.get("BIND", "127.0.0.1:8000")
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
preload_app = False  # each worker has an engine of its own, started after the fork

# A worker that ends lets its mails in flight arrive; only then may gunicorn kill it.
graceful_timeout = int(float(os.environ.get("OTPMAIL_DRAIN_SECONDS", "10"))) + 20
control_socket_disable = True  # it would stand in the home directory, and nobody asks it
accesslog = None  # the proxy in front keeps one


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn's hook
    """Let a request that wakes up take its turn from a courier after 0.5 ms instead of 5."""
    sys.setswitchinterval(0.0005)
