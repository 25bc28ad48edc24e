"""The kiosk as it comes, and each answer tells how long it waited for PostgreSQL."""

from coop_kiosk.settings import *  # noqa: F403
from coop_kiosk.settings import MIDDLEWARE

MIDDLEWARE = ["benchmarks.database_time.told", *MIDDLEWARE]
OTPMAIL_CLIENT_QUOTA = ()  # all members ask from one address
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # of many members' PINs
