"""Every setting, typed, with its default; read at access, so that a change is seen at once.

In: ``OTPMAIL_*`` of Django's settings. Out: typed attributes.
An app that stands above otpmail's core brings its own (`declare`), and its purposes' (`bring`).
Knows nothing of: how a value is checked; ``checks`` holds it against its type and its `Rule` when
the project starts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import get_annotations
from typing import Annotated, Any, Literal

from django.conf import settings as django_settings
from django.utils.functional import empty

PREFIX = "OTPMAIL_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a setting's value must be, beside its type."""

    least: float = 0
    most: float = math.inf
    """The bounds of each number in it."""
    may_be_empty: bool = True
    per_purpose: bool = False
    """Whether a purpose may have a value of its own."""


class Settings:
    """otpmail's settings. Each name is written ``OTPMAIL_<NAME>`` in a project's settings."""

    ENGINE: str = "otpmail.engines.threads.ThreadsEngine"
    """Dotted path of the engine's class. An engine decides when and where mails are sent."""

    ROUTES: Annotated[Sequence[str], Rule(may_be_empty=False, per_purpose=True)] = ("default",)
    """Aliases of ``MAILERS`` through which codes are sent, in the order in which they are tried."""

    DOMAIN_ROUTES: Mapping[str, Sequence[str]] = {}
    """Routes that are tried first for a recipient's domain (``yahoo.*``). The first match holds."""

    ROUTE_RATES: Annotated[Mapping[str, Mapping[str, int]], Rule(least=1)] = {}
    """For each route, the most mails ``PER_SECOND`` and ``AT_ONCE`` that a process sends by it."""

    CIRCUIT_FAULTS: Annotated[int, Rule(least=1)] = 3
    """Faults of a route in a row after which its circuit opens: mails go by other routes until
    it works again.
    """

    HEDGE_AFTER: Annotated[float | Literal["auto"] | None, Rule(least=0.05, most=60)] = "auto"
    """Seconds to wait for a route's reply before a code is sent by the next route too (hedging).
    ``"auto"``: three times what the route's slowest mails took, 1 to 5 s; None: never.
    """

    KEYS: Mapping[str, str] = {}
    """Key ring: ids of keys, each with its 32 bytes in URL-safe base64. The first is the current
    one. Empty: one key, made of ``SECRET_KEY``.
    """

    REVOKED_KEYS: Sequence[str] = ()
    """Ids of keys that must not be used any more, and are not in ``OTPMAIL_KEYS``. What is
    pending under one of them ends.
    """

    KEY_CLASS: str = "otpmail.crypto.keys.Key"
    """Dotted path of the class of the ring's keys, for keys that a key service holds."""

    BASE_URL: str = ""
    """Scheme and host of the links in mails, as ``https://bank.example``. Empty: no links."""

    METRICS_TOKEN: str = ""
    """Bearer token for the metrics endpoint, at least 16 characters. Empty disables it."""

    FROM: str = ""
    """Sender of codes. Empty: ``DEFAULT_FROM_EMAIL``."""

    CODE_IN_SUBJECT: bool = False
    """Whether a mail's subject may show the code. Subjects are logged by mail servers and shown on
    lock screens.
    """

    PURPOSES: Mapping[str, Mapping[str, Any]] = {}
    """For each purpose, the settings that it overrides, ``FACTS`` and ``SAMPLE``."""

    DIGITS: Annotated[int, Rule(least=4, most=10, per_purpose=True)] = 6
    """Digits of a code."""

    LONG_DIGITS: Annotated[int, Rule(least=4, most=10, per_purpose=True)] = 8
    """Digits of a long code: of ``issue(long=True)``, and of all codes before sign-in."""

    BEFORE_SIGN_IN: Annotated[bool, Rule(per_purpose=True)] = False
    """Whether who asks is not signed in. Then codes are long, and ``decoy=True`` is allowed."""

    LIFE_SECONDS: Annotated[int, Rule(least=1, per_purpose=True)] = 600
    """How long a code is valid, from its issue. A resend does not extend it."""

    TOTAL_LIFE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 1800
    """How long a challenge is open, over all its codes."""

    LEAST_LIFE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 120
    """A mail is not sent any more when its code is valid for less than this."""

    GUESSES: Annotated[int, Rule(least=1, per_purpose=True)] = 5
    """Wrong codes after which a challenge ends, over all its codes."""

    COOL_DOWN_SECONDS: Annotated[Sequence[int], Rule(may_be_empty=False, per_purpose=True)] = (
        60,
        120,
    )
    """Wait before the first resend, the second, and so on. The last one repeats."""

    SENDS: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Mails with the same code, the first one included."""

    GENERATIONS: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Codes of a challenge, the first one included."""

    KEEP_CODE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 180
    """A resend keeps the code if it is still valid for this long, and makes a new one otherwise."""

    KEEP_CODE_FAILURES: Annotated[int, Rule(per_purpose=True)] = 3
    """A resend keeps the code if fewer wrong codes than this were typed."""

    ROTATE: Annotated[bool, Rule(per_purpose=True)] = False
    """Whether each resend makes a new code, which ends the older one at once."""

    OPEN_CHALLENGES: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Challenges of one purpose that an owner has open. With one more, the oldest ends."""

    LOCKOUT_FAILURES: Annotated[Sequence[int], Rule(least=1)] = (10, 20)
    """Wrong codes of an owner in an hour and in a day, over all challenges, after which new
    challenges are refused for a while. Empty: no limit.
    """

    LOCKOUT_SECONDS: Annotated[Sequence[int], Rule(least=1)] = (900, 86400)
    """How long they are refused: the first time, doubled each further time, and at most."""

    RECIPIENT_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (10, 20)
    """Mails to one address in an hour and in a day. Empty: no limit."""

    CLIENT_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (60, 300)
    """Mails that one client asks for in an hour and in a day, if ``client`` is given. Empty: no
    limit.
    """

    TRUSTED_DEVICE_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (3, 6)
    """Mails in an hour and in a day, beyond ``OTPMAIL_RECIPIENT_QUOTA``, to an address of which
    the device confirmed a code before.
    """

    RETRY_SECONDS: Sequence[float] = (2, 4, 6)
    """Wait after a code's first failed attempt, the second, and so on. After one more the mail has
    failed.
    """

    SUPPRESS_SECONDS: int = 604800
    """How long no code is sent to an address that bounced for good. 0: it is not suppressed."""

    MAIL_LIFE_SECONDS: int = 86_400
    """How long other mail than codes is tried."""

    MAIL_RETRY_SECONDS: Sequence[float] = (
        10,
        60,
        300,
        900,
        1800,
        3600,
        7200,
        14_400,
        14_400,
        28_800,
    )
    """Wait after the failed attempts of other mail than codes."""

    LEASE_SECONDS: Annotated[int, Rule(least=1)] = 60
    """How long a process holds a delivery before another may take it."""

    SWEEP_SECONDS: Annotated[float, Rule(least=0.01)] = 1
    """How often threads and workers look for what is due, and for what dead processes left."""

    COURIERS: Annotated[int, Rule(least=1)] = 8
    """Courier threads of a process."""

    MAIL_COURIERS: Annotated[int, Rule(least=1)] = 2
    """How many of the couriers may send other mail than codes at the same time."""

    QUEUE_SIZE: Annotated[int, Rule(least=1)] = 1000
    """Deliveries that a process keeps in memory, for each of the two queues. Further ones wait in
    their rows for a sweep.
    """

    DRAIN_SECONDS: float = 10
    """How long a process that ends waits for mails in flight."""

    KEEP_DAYS: int = 30
    """How long ``otpmail_prune`` keeps settled deliveries and ended challenges."""

    AUDIT_KEEP_DAYS: int = 730
    """How long ``otpmail_prune`` keeps the audit, at least 7 days. 0: for ever."""

    def __getattribute__(self, name: str) -> Any:
        """Give the project's value, else the default."""
        if name not in _DEFAULTS:
            return object.__getattribute__(self, name)
        full_name, default = _DEFAULTS[name]
        # Not through Django's lazy object, where each look at what is not set raises inside.
        known = django_settings._wrapped  # type: ignore[misc]  # noqa: SLF001
        return getattr(django_settings if known is empty else known, full_name, default)

    def of(self, purpose: str) -> "Settings":
        """Give the settings that hold for a purpose: its own values, else the general ones."""
        return _SettingsOfPurpose(purpose)


class _SettingsOfPurpose(Settings):
    def __init__(self, purpose: str) -> None:
        self._purpose = purpose

    def __getattribute__(self, name: str) -> Any:
        if name in PER_PURPOSE:
            for own in (settings.PURPOSES.get(self._purpose, {}), _BROUGHT.get(self._purpose, {})):
                if name in own:
                    return own[name]
        return super().__getattribute__(name)


_DEFAULTS: dict[str, tuple[str, Any]] = {}

_BROUGHT: dict[str, Mapping[str, Any]] = {}

RULES: dict[str, tuple[Any, Rule]] = {}
"""Each setting's type and rule."""

NAMES: set[str] = set()
"""All names that a project may set."""


def declare(kind: type[Settings]) -> None:
    """Let a project set what a class names, which is `Settings` or, of an app above, under it."""
    for name, annotation in get_annotations(kind).items():
        _DEFAULTS[name] = (PREFIX + name, vars(kind)[name])
        NAMES.add(PREFIX + name)
        RULES[name] = (
            (annotation.__origin__, annotation.__metadata__[0])
            if hasattr(annotation, "__metadata__")
            else (annotation, Rule())
        )


def bring(purpose: str, **rules: object) -> None:
    """Give the settings that an app has for a purpose of its own; a project's come first."""
    _BROUGHT[purpose] = rules


declare(Settings)
settings = Settings()

PER_PURPOSE = frozenset(name for name, (_, rule) in RULES.items() if rule.per_purpose)
"""Those that a purpose may have a value of its own for."""
