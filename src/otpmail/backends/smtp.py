"""Django's SMTP backend, over sessions that stay open between mails and between requests.

In: Django's ``EmailMessage``, the options of a ``MAILERS`` entry (before Django 6.1 ``EMAIL_*``).
Out: what Django's own backend returns and raises, or an `Outcome` for each mail.
Knows nothing of: rows, codes, retries.

Django makes a backend anew for each use, so the pool lies beside it (``pools``).
"""

import functools
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property

from otpmail.backends.pools import close_pools, pool_for
from otpmail.backends.servers import as_text, invalid, server_of
from otpmail.backends.translation import (
    OPENING,
    as_mail,
    as_mails,
    as_outcome,
    as_smtplib,
    spoils_sessions,
)
from otpmail.backends.validity import ValidityCheck
from otpmail.outcomes import Outcome
from otpmail.smtp.certificates import Certificates
from otpmail.smtp.client import deliver
from otpmail.smtp.deadlines import NEVER, Deadline
from otpmail.smtp.errors import WireError
from otpmail.smtp.handshake import open_session
from otpmail.smtp.mails import Mail, Sent
from otpmail.smtp.pool import Limits, Pool
from otpmail.smtp.sending import Result
from otpmail.smtp.session import Session
from otpmail.smtp.sign_in_backoff import SignInBackoff
from otpmail.smtp.tokens import WithTokens

__all__ = ["EmailBackend", "close_pools"]

DEFAULTS = Limits()


class EmailBackend(BaseEmailBackend):
    """A drop-in for ``django.core.mail.backends.smtp.EmailBackend``.

    Besides Django's options: ``pool_size`` sessions at most and ``min_warm`` held open; each kept
    ``max_idle`` and ``max_age`` seconds and ``max_messages`` mails; ``pipelining=False`` to send
    step by step; ``window`` mails unanswered at once; ``token``, a callable or its dotted path,
    gives an OAuth 2 access token for XOAUTH2. ``timeout`` is for each phase: connect, TLS, a reply.
    """

    def __init__(  # noqa: PLR0917 - the order of Django's
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        *,
        alias: str | None = None,
        token: Callable[[], str] | str | None = None,
        pool_size: int = DEFAULTS.size,
        min_warm: int = DEFAULTS.min_warm,
        max_idle: float = DEFAULTS.max_idle,
        max_age: float = DEFAULTS.max_age,
        max_messages: int = DEFAULTS.max_messages,
        pipelining: bool = True,
        window: int = 1,
        **unknown: Any,
    ) -> None:
        if alias is not None:
            unknown["alias"] = alias
        super().__init__(**unknown)
        self.alias = alias
        self.fail_silently = fail_silently
        self.connection: Pool | None = None
        self._own_context: ssl.SSLContext | None = None
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.use_tls = use_tls
        self.use_ssl = use_ssl
        self.timeout = timeout
        self.ssl_keyfile = ssl_keyfile
        self.ssl_certfile = ssl_certfile
        self.token = token
        self.pipelining = pipelining
        self.window = window
        self.limits = Limits(
            size=pool_size,
            min_warm=min_warm,
            max_idle=max_idle,
            max_age=max_age,
            max_messages=max_messages,
        )
        if alias is None:
            self._read_older_settings()
        self._check()

    def _read_older_settings(self) -> None:
        """Take what was not given from ``EMAIL_*``, the settings of before ``MAILERS``."""
        self.host = self.host or settings.EMAIL_HOST
        self.port = self.port or settings.EMAIL_PORT
        for option, setting in OLDER_SETTINGS.items():
            if getattr(self, option) is None:
                setattr(self, option, getattr(settings, setting))

    def _check(self) -> None:
        self.use_tls = bool(self.use_tls)
        self.use_ssl = bool(self.use_ssl)
        if self.use_tls and self.use_ssl:
            if self.alias is None:  # as Django has it
                raise ValueError(
                    "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those "
                    "settings to True."
                )
            told = "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. "
            raise invalid(told + "Set at most one of them to True.", self.alias)
        self.username = as_text(self, "username")
        self.password = as_text(self, "password")
        if self.host is None:
            raise invalid("OPTIONS must define 'host'.", self.alias)
        if self.port is None:
            self.port = 465 if self.use_ssl else 587 if self.use_tls else 25
        if min(self.limits.size, self.limits.max_messages, self.window) < 1:
            raise invalid("'pool_size', 'max_messages' and 'window' begin at 1.", self.alias)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Trust the system's authorities; show a client certificate if one is given.

        Asked before each session is opened. Certificates that were renewed on disk are in it.
        """
        return self._own_context or self._certificates.context()

    @ssl_context.setter
    def ssl_context(self, context: ssl.SSLContext) -> None:
        self._own_context = context

    @cached_property
    def _certificates(self) -> Certificates:
        return Certificates(self.ssl_certfile, self.ssl_keyfile)

    @property
    def pool(self) -> Pool:
        """The pool of these options in this process."""
        token = self.token
        key = (type(self), self.alias, *(getattr(self, name) for name in KEY), self.limits, token)
        return pool_for(key, self._new_pool)

    def open(self) -> bool | None:
        """See to it that there is a session to send on.

        Returns whether this was needed, ``None`` if it failed silently. Raises what Django's does.
        """
        if self.connection is not None:
            return False
        pool = self.pool
        try:
            pool.give(pool.take(NEVER))
        except WireError as error:
            told = as_smtplib(error)
            if self.fail_silently and isinstance(told, OSError):
                return None
            raise told from error
        self.connection = pool
        return True

    def warm(self) -> None:
        """Have ``min_warm`` sessions opened now, off this thread, before a mail asks for one."""
        self.pool.warm()

    def reach(self, *, timeout: float) -> Outcome | None:
        """Open a session anew, within so many seconds, and keep it. Gives what kept it from that.

        What idles is let go of: nobody can tell whether the network still knows it.
        """
        pool = self.pool
        pool.doubt()
        try:
            pool.give(pool.take(Deadline.after(timeout)))
        except WireError as error:
            return as_outcome(error)
        return None

    def close(self) -> None:
        """Leave the sessions to the pool."""
        self.connection = None

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Send mails and return how many were accepted.

        Raises what Django's backend raises. With a ``window`` above 1 the mails after a refused one
        are sent all the same, and the first refusal is raised at the end.
        """
        sent = 0
        for end, mail in self._sendings([*email_messages]):
            if isinstance(end, Sent):
                sent += 1
            elif end is not None:
                told = as_smtplib(end, mail)
                if not (self.fail_silently and isinstance(told, OSError)):
                    raise told from end
                if end.phase in OPENING:
                    break
        return sent

    def send_outcomes(
        self,
        messages: Sequence[EmailMessage],
        *,
        timeout: float | None = None,
        still_valid: Callable[[EmailMessage], bool] | None = None,
    ) -> list[Outcome | None]:
        """Send mails together and tell each one's outcome; never raises for a mail's fate.

        What a mail's ``message()`` raises is its outcome too, unless it ends the process.
        ``timeout`` bounds the whole call, in seconds. ``still_valid`` is asked right before each
        envelope is written, and before a body that is a step of its own; where it says no, the mail
        is not sent and its outcome is ``None``. Where the server knows how, all are in flight at
        once, however small the ``window``: whoever gives several wants no more than that.
        """
        deadline = Deadline.after(timeout)
        mails, outcomes = as_mails(messages)
        check = ValidityCheck(messages, mails, still_valid or (lambda _: True))
        ends = self._deliver(
            [*mails.values()], window=len(mails), deadline=deadline, still_valid=check
        )
        for place, end in zip(mails, ends, strict=True):
            outcomes[place] = as_outcome(end) or check.failed.get(place)
        return [outcomes[place] for place in range(len(messages))]

    def _sendings(self, messages: Sequence[EmailMessage]) -> Iterator[tuple[Result, Mail]]:
        """Send mails one by one or, with a window, together."""
        addressed = [message for message in messages if message.recipients()]
        if self.window > 1:
            mails = [as_mail(message) for message in addressed]
            yield from zip(self._deliver(mails, window=self.window), mails, strict=True)
            return
        for message in addressed:
            mail = as_mail(message)
            yield self._deliver([mail])[0], mail

    def _deliver(self, mails: Sequence[Mail], **how: Any) -> list[Result]:
        """Send mails. After an end that speaks of the route no session of before it is kept.

        It may be the sessions' own, and a probe of the route must not ask one of them again.
        """
        pool = self.pool
        ends = deliver(pool, mails, spoils=spoils_sessions, **how)
        if any(map(spoils_sessions, ends)):
            pool.doubt()
        return ends

    def _new_pool(self) -> Pool:
        name = f"{self.alias or 'default'} {self.host}:{self.port}"
        server = server_of(self)
        opens: Callable[[Deadline], Session] = functools.partial(open_session, server)
        if (credentials := server.credentials) is not None:
            whose = repr((self.host, self.port, self.username, self.password))
            known = salted_hmac("otpmail.rests", whose, algorithm="sha256").hexdigest()
            by_token = credentials.token is not None
            opens = (
                WithTokens(server, credentials, known) if by_token else SignInBackoff(opens, known)
            )
        return Pool(opens, name=name, limits=self.limits)


OLDER_SETTINGS = {
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}
KEY = ("host", "port", *OLDER_SETTINGS, "pipelining")
