"""A backend's options say where its server is and how it is spoken to.

In: an ``EmailBackend``. Out: the wire's `Server`.
Knows nothing of: pools and mails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.utils import DNS_NAME
from django.utils.module_loading import import_string

from otpmail.smtp.auth import Credentials
from otpmail.smtp.errors import InvalidArgumentError, Phase
from otpmail.smtp.handshake import Security, Server
from otpmail.smtp.modes import Mode
from otpmail.smtp.session import Timeouts

if TYPE_CHECKING:
    from otpmail.backends.smtp import EmailBackend


def server_of(backend: EmailBackend) -> Server:
    """Give the server of these options."""
    in_the_clear = Security.STARTTLS if backend.use_tls else Security.NONE
    timeout = backend.timeout
    return Server(
        host=str(backend.host),
        port=int(backend.port or 0),
        local_name=DNS_NAME.get_fqdn,
        security=Security.TLS if backend.use_ssl else in_the_clear,
        context=lambda: backend.ssl_context,
        credentials=_credentials(backend),
        ceiling=Mode.CHUNKED if backend.pipelining else Mode.STEPWISE,
        timeouts=Timeouts() if timeout is None else Timeouts.all(timeout),
    )


def as_text(backend: EmailBackend, option: str) -> str | None:
    """Give an option as text, which a number or bytes may stand for."""
    value: object = getattr(backend, option)
    if not value:
        return None if value is None else ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeError:
            raise invalid(f"{option!r} is bytes that are no UTF-8.", backend.alias) from None
    return str.__str__(value) if issubclass(type(value), str) else str(value)


def invalid(words: str, alias: str | None) -> ImproperlyConfigured:
    """Make the error for wrong options: ``InvalidMailer`` where Django has it."""
    if django.VERSION >= (6, 1):
        from django.core.mail import InvalidMailer  # Django 6.1

        return InvalidMailer(words, alias=alias)
    return ImproperlyConfigured(f"MAILERS[{alias!r}]: {words}")


def _credentials(backend: EmailBackend) -> Credentials | None:
    username, password, token = backend.username, backend.password or "", backend.token
    if not username or not (password or token):
        return None
    call = functools.partial(_called, token) if token else None
    return Credentials(username=username, password=password, token=call)


def _called(token: Callable[[], str] | str) -> str:
    """Give a token. Raises `InvalidArgumentError` if the path leads to nothing."""
    if not isinstance(token, str):
        return token()
    try:
        call: Callable[[], str] = import_string(token)
    except ImportError as error:
        words = f"token cannot be imported: {type(error).__name__}"
        raise InvalidArgumentError(words, phase=Phase.AUTH) from error
    return call()
