"""Every setting, typed, with its default; read at access, so that a change is seen at once.

In: ``OTPMAIL_*`` of Django's settings. Out: typed attributes.
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
    """Decides when and where a courier runs: the dotted path of an engine's class."""

    ROUTES: Annotated[Sequence[str], Rule(may_be_empty=False, per_purpose=True)] = ("default",)
    """Aliases of ``MAILERS`` through which mail leaves, the first that works."""

    DOMAIN_ROUTES: Mapping[str, Sequence[str]] = {}
    """Recipient's domain (``yahoo.*``) to the routes tried first; the first match holds."""

    ROUTE_RATES: Annotated[Mapping[str, Mapping[str, int]], Rule(least=1)] = {}
    """Route to what it bears in each process: mails ``PER_SECOND``, and ``AT_ONCE``."""

    CIRCUIT_FAULTS: Annotated[int, Rule(least=1)] = 3
    """Faults of a route in a row after which mail goes round it, until it answers again."""

    HEDGE_AFTER: Annotated[float | Literal["auto"] | None, Rule(least=0.05, most=60)] = "auto"
    """Seconds until a code's silent route gets company. ``"auto"``: by its times; None: never."""

    KEYS: Mapping[str, str] = {}
    """Key ring: id to 32 bytes in URL-safe base64, the current first. Empty: of ``SECRET_KEY``."""

    REVOKED_KEYS: Sequence[str] = ()
    """Ids of keys that are good no more: what stands under them ends. Not those of the ring."""

    KEY_CLASS: str = "otpmail.crypto.keys.Key"
    """What a key of the ring is: the dotted path of a class, for keys that a key service holds."""

    BASE_URL: str = ""
    """Scheme and host of links in mails, as ``https://bank.example``. Empty: mails have none."""

    METRICS_TOKEN: str = ""
    """What a scraper of the metrics brings, 16 characters or more. Empty: nobody is told them."""

    FROM: str = ""
    """Sender of every code. Empty: ``DEFAULT_FROM_EMAIL``."""

    CODE_IN_SUBJECT: bool = False
    """Whether a subject may hold the code: subjects are logged, and shown on lock screens."""

    PURPOSES: Mapping[str, Mapping[str, Any]] = {}
    """Purpose to the rules that it overrides, ``FACTS``, ``SAMPLE`` (see ``otpmail.purposes``)."""

    DIGITS: Annotated[int, Rule(least=4, most=10, per_purpose=True)] = 6
    """Digits of a code."""

    LONG_DIGITS: Annotated[int, Rule(least=4, most=10, per_purpose=True)] = 8
    """Digits where more is at stake: ``issue(long=True)``, and all codes before sign-in."""

    BEFORE_SIGN_IN: Annotated[bool, Rule(per_purpose=True)] = False
    """Whether callers are not signed in: their codes are long, and ``decoy=True`` can be asked."""

    LIFE_SECONDS: Annotated[int, Rule(least=1, per_purpose=True)] = 600
    """From issue to expiry of one generation. Never extended."""

    TOTAL_LIFE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 1800
    """From issue to the end of a challenge, over all its generations."""

    LEAST_LIFE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 120
    """With less life left than this, a mail is not sent any more."""

    GUESSES: Annotated[int, Rule(least=1, per_purpose=True)] = 5
    """Wrong codes a challenge bears, over all its generations."""

    COOL_DOWN_SECONDS: Annotated[Sequence[int], Rule(may_be_empty=False, per_purpose=True)] = (
        60,
        120,
    )
    """Wait before the first resend, the second, and so on; the last one repeats."""

    SENDS: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Mails a generation, the first included."""

    GENERATIONS: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Codes a challenge, the first included."""

    KEEP_CODE_SECONDS: Annotated[int, Rule(per_purpose=True)] = 180
    """A resend keeps the code while this much of its life is left."""

    KEEP_CODE_FAILURES: Annotated[int, Rule(per_purpose=True)] = 3
    """A resend keeps the code while there were fewer wrong codes than this."""

    ROTATE: Annotated[bool, Rule(per_purpose=True)] = False
    """Whether each resend makes a new code, and the older one is dead at once."""

    OPEN_CHALLENGES: Annotated[int, Rule(least=1, per_purpose=True)] = 3
    """Challenges of a purpose that one owner has open; one more, and the oldest ends."""

    LOCKOUT_FAILURES: Annotated[Sequence[int], Rule(least=1)] = (10, 20)
    """Wrong codes an owner bears an hour and a day, over all challenges. Empty: no end."""

    LOCKOUT_SECONDS: Annotated[Sequence[int], Rule(least=1)] = (900, 86400)
    """Wait for new challenges past that budget: the first, doubled each time, and the longest."""

    RECIPIENT_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (10, 20)
    """Mails that one address gets an hour and a day. Empty: no end."""

    CLIENT_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (60, 300)
    """Mails that one client asks for an hour and a day, if ``client`` is given. Empty: no end."""

    TRUSTED_DEVICE_QUOTA: Annotated[Sequence[int], Rule(least=1)] = (3, 6)
    """Mails past `RECIPIENT_QUOTA` for a device that confirmed a code of that address before."""

    RETRY_SECONDS: Sequence[float] = (2, 4, 6)
    """Wait after the first failed attempt, the second, and so on; then the mail has failed."""

    SUPPRESS_SECONDS: int = 604800
    """How long an address that bounced for good is sent no code. 0: not at all."""

    MAIL_LIFE_SECONDS: int = 86_400
    """How long other mail is worth sending."""

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
    """The waits of other mail, as those of a code."""

    LEASE_SECONDS: Annotated[int, Rule(least=1)] = 60
    """How long a courier owns a delivery before another may take it."""

    SWEEP_SECONDS: Annotated[float, Rule(least=0.01)] = 1
    """How often threads and workers look for what is due, and for what dead processes left."""

    COURIERS: Annotated[int, Rule(least=1)] = 8
    """Courier threads a process."""

    MAIL_COURIERS: Annotated[int, Rule(least=1)] = 2
    """How many of them may carry other mail at once; the rest are kept for codes."""

    QUEUE_SIZE: Annotated[int, Rule(least=1)] = 1000
    """Deliveries a process keeps in memory a queue; what is over waits in its row for a sweep."""

    DRAIN_SECONDS: float = 10
    """How long a process that ends waits for mails in flight."""

    KEEP_DAYS: int = 30
    """How long `otpmail_prune` keeps settled deliveries and ended challenges."""

    AUDIT_KEEP_DAYS: int = 730
    """How long it keeps the audit: 7 days or more. 0: for good."""

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
            own = settings.PURPOSES.get(self._purpose, {})
            if name in own:
                return own[name]
        return super().__getattribute__(name)


_DEFAULTS = {
    name: (PREFIX + name, default) for name, default in vars(Settings).items() if name.isupper()
}

settings = Settings()


def _rules() -> dict[str, tuple[Any, Rule]]:
    kinds = get_annotations(Settings)
    return {
        name: (kind.__origin__, kind.__metadata__[0])
        if hasattr(kind, "__metadata__")
        else (kind, Rule())
        for name, kind in kinds.items()
    }


RULES = _rules()
"""Each setting's type and rule."""

NAMES = frozenset(PREFIX + name for name in RULES)
"""All names that a project may set."""

PER_PURPOSE = frozenset(name for name, (_, rule) in RULES.items() if rule.per_purpose)
"""Those that a purpose may have a value of its own for."""
