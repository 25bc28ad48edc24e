"""The kiosk under faults: lives, leases and sweeps by the environment, other mail in the outbox."""

from benchmarks.load_settings import *  # noqa: F403
from benchmarks.load_settings import DATABASES, MAILERS, env

ROOT_URLCONF = "benchmarks.projects.urls"
MAILERS = {
    "default": {
        "BACKEND": "otpmail.backends.outbox.EmailBackend",
        "OPTIONS": {"routes": ["smtp"]},
    },
    "smtp": MAILERS["default"],
}
OTPMAIL_ROUTES = ["smtp"]
OTPMAIL_LIFE_SECONDS = env.int("OTPMAIL_LIFE_SECONDS", 600)
OTPMAIL_LEAST_LIFE_SECONDS = env.int("OTPMAIL_LEAST_LIFE_SECONDS", 120)
OTPMAIL_LEASE_SECONDS = env.int("OTPMAIL_LEASE_SECONDS", 60)
OTPMAIL_SWEEP_SECONDS = env.float("OTPMAIL_SWEEP_SECONDS", 1)
OTPMAIL_RECIPIENT_QUOTA = ()
OTPMAIL_OPEN_CHALLENGES = 1_000
# A session that PostgreSQL cannot be asked to keep, behind a pooler.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
