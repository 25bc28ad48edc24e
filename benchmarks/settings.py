"""The kiosk's settings with three routes, for ``failover``."""

import os

os.environ.setdefault(
    "SECRET_KEY", "a secret of the benchmarks, of more than fifty characters at least"
)

from coop_kiosk.settings import *  # noqa: F403

ROUTES = ("default", "b", "c")
MAILERS = {
    route: {
        "BACKEND": "otpmail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": "127.0.0.1",
            "port": int(port),
            "username": "bench",
            "password": "bench",
            "timeout": 10,
            "min_warm": 2,
        },
    }
    for route, port in zip(ROUTES, os.environ["PORTS"].split(), strict=True)
}
OTPMAIL_ROUTES = ROUTES
OTPMAIL_RECIPIENT_QUOTA = ()  # all codes go to one address
# One code in ten lives so short that an outage of 30 s outlasts it.
OTPMAIL_PURPOSES = {
    "short": {"LIFE_SECONDS": 15, "TOTAL_LIFE_SECONDS": 15, "LEAST_LIFE_SECONDS": 5}
}
LOGGING["handlers"].pop("console")  # noqa: F405
LOGGING["root"]["handlers"] = ["file"]  # noqa: F405
