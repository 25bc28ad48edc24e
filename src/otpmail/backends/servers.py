"""A backend's options say where its server is and how it is spoken to.

In: an ``EmailBackend``. Out: the wire's `Server`.
Knows nothing of: pools and mails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.core.mail.utils import DNS_NAME
from django.utils.module_loading import import_string

from otpmail.smtp.auth import Credentials
from otpmail.smtp.modes import Mode
from otpmail.smtp.opening import Security, Server
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


def _credentials(backend: EmailBackend) -> Credentials | None:
    username, password, token = backend.username, backend.password or "", backend.token
    if not username or not (password or token):
        return None
    call = functools.partial(_called, token) if token else None
    return Credentials(username=username, password=password, token=call)


def _called(token: Callable[[], str] | str) -> str:
    return (import_string(token) if isinstance(token, str) else token)()
