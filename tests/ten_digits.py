"""The kiosk with codes so long that no time and no id holds one by chance."""

from coop_kiosk.settings import *  # noqa: F403 - all of them

OTPMAIL_DIGITS = 10
