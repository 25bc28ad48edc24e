"""The kiosk under load: deadlines so short that some are met, and PINs that cost little."""

from coop_kiosk.settings import *  # noqa: F403

OTPMAIL_LIFE_SECONDS = 60
OTPMAIL_DEAD_MAIL_SECONDS = 45  # so 15 s from the promise to its deadline
OTPMAIL_SWEEP_SECONDS = 1
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
