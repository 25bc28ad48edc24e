"""Who asks: the client that the project tells, and a device that was signed in from before.

In: a request. Out: what otpmail counts mails by, and a cookie.
Knows nothing of: users.

Strangers can use up the mails of an address. A device on which its owner signed in has a few more
of its own (``OTPMAIL_TRUSTED_DEVICE_QUOTA``), so they are not locked out.
"""

import hashlib
import secrets
from dataclasses import replace

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from otpmail.challenges import Client
from otpmail.limits.rates import DEVICE_KEPT
from otpmail.signin.conf import settings

COOKIE = "otpmail_device"


def of(request: HttpRequest, device: str = "") -> Client:
    """Tell who asks, on a device that is named by its cookie or, at sign-in, by a new name."""
    told = import_string(settings.SIGNIN_CLIENT)(request) if settings.SIGNIN_CLIENT else Client()
    name = device or request.COOKIES.get(COOKIE, "")
    if told.device or not name:
        return told
    return replace(told, device=hashlib.sha256(name.encode(errors="replace")).hexdigest())


def device_of(request: HttpRequest) -> str:
    """Give the name of the device, or a new one."""
    return request.COOKIES.get(COOKIE) or secrets.token_urlsafe()


def remember(response: HttpResponse, device: str) -> None:
    """Let the browser tell the device the next time."""
    response.set_cookie(
        COOKIE,
        device,
        max_age=DEVICE_KEPT,
        path=django_settings.SESSION_COOKIE_PATH,
        domain=django_settings.SESSION_COOKIE_DOMAIN,
        secure=django_settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
