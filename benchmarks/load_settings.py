"""The kiosk under load: deadlines so short that some are met, PINs that cost little, no quota."""

from coop_kiosk.settings import *  # noqa: F403
from coop_kiosk.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db"]
TASKS = {
    "otpmail": {
        "BACKEND": "django_tasks_db.DatabaseBackend",
        "QUEUES": ["otpmail", "otpmail.mail"],
    }
}
OTPMAIL_LIFE_SECONDS = 60
OTPMAIL_LEAST_LIFE_SECONDS = 45  # so 15 s from the promise to its deadline
OTPMAIL_SWEEP_SECONDS = 1
OTPMAIL_CLIENT_QUOTA = ()  # all members ask from one address
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
