"""What a code is for, and the rules that hold for it.

In: ``OTPMAIL_PURPOSES`` over the general settings. Out: a `Purpose`.
Knows nothing of: rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from otpmail.conf import settings
from otpmail.crypto.transaction_data import Facts

if TYPE_CHECKING:
    from otpmail.models import Challenge

OVERRIDES = frozenset(
    {
        "ROUTES",
        "DIGITS",
        "LONG_DIGITS",
        "BEFORE_SIGN_IN",
        "LIFE_SECONDS",
        "TOTAL_LIFE_SECONDS",
        "LEAST_LIFE_SECONDS",
        "GUESSES",
        "COOL_DOWN_SECONDS",
        "SENDS",
        "GENERATIONS",
        "OPEN_CHALLENGES",
        "KEEP_CODE_SECONDS",
        "KEEP_CODE_FAILURES",
        "ROTATE",
    }
)
"""Settings that a purpose may have a value of its own for."""

FACTS = "FACTS"
"""Beside them: the dotted path of ``facts(challenge, *, lock) -> Facts | None``.

It reads the transaction's facts as they stand now, None if there is no such transaction any more.
With ``lock`` it runs inside the transaction that consumes the code, and locks what it reads.
"""

SAMPLE = "SAMPLE"
"""And beside them: facts and context that a mail may show, for the check that renders it once."""

type FactsNow = Callable[..., Facts | None]


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose's rules. Rules are read from the settings at each access."""

    name: str

    def facts(self, challenge: "Challenge", *, lock: bool) -> Facts | None:
        """Read the facts that a challenge is bound to, as they stand now."""
        return self._reader()(challenge, lock=lock)

    def check_facts(self) -> None:
        """Raise ImproperlyConfigured if nothing tells the facts that a code would be bound to."""
        self._reader()

    @property
    def sample(self) -> Mapping[str, str | int]:
        """What a mail may show, facts and context."""
        return cast("Mapping[str, str | int]", self._own().get(SAMPLE, {}))

    def check_decoys(self) -> None:
        """Raise ImproperlyConfigured if callers are signed in: then there is nothing to hide."""
        if not self.is_before_sign_in:
            raise ImproperlyConfigured(
                f"A decoy for {self.name!r} hides nothing from somebody who is signed in: "
                f"set OTPMAIL_PURPOSES[{self.name!r}]['BEFORE_SIGN_IN'] to True, or issue none."
            )

    def _reader(self) -> FactsNow:
        path = self._own().get(FACTS)
        if path is None:
            raise ImproperlyConfigured(
                f"A code for {self.name!r} is bound to facts, and nothing tells what they are now: "
                f"set OTPMAIL_PURPOSES[{self.name!r}]['FACTS']."
            )
        return _imported(path)

    def digits(self, *, long: bool = False) -> int:
        """Digits of a code, or of a long one; before sign-in all are long."""
        rule = "LONG_DIGITS" if long or self.is_before_sign_in else "DIGITS"
        return cast("int", self._rule(rule))

    @property
    def is_before_sign_in(self) -> bool:
        """Whether callers are not signed in."""
        return cast("bool", self._rule("BEFORE_SIGN_IN"))

    @property
    def rotates(self) -> bool:
        """Whether each resend makes a new code."""
        return cast("bool", self._rule("ROTATE"))

    @property
    def routes(self) -> tuple[str, ...]:
        """Aliases of ``MAILERS`` through which its mail leaves, in their order."""
        return tuple(self._rule("ROUTES"))

    @property
    def guesses(self) -> int:
        """Wrong codes a challenge bears."""
        return cast("int", self._rule("GUESSES"))

    @property
    def sends(self) -> int:
        """Mails a generation."""
        return cast("int", self._rule("SENDS"))

    @property
    def generations(self) -> int:
        """Codes a challenge."""
        return cast("int", self._rule("GENERATIONS"))

    @property
    def open_challenges(self) -> int:
        """Challenges that one owner has open."""
        return cast("int", self._rule("OPEN_CHALLENGES"))

    @property
    def keep_code_failures(self) -> int:
        """From so many wrong codes on, a resend makes a new code."""
        return cast("int", self._rule("KEEP_CODE_FAILURES"))

    @property
    def life(self) -> timedelta:
        """Life of one generation."""
        return self._span("LIFE_SECONDS")

    @property
    def total_life(self) -> timedelta:
        """Life of a challenge."""
        return self._span("TOTAL_LIFE_SECONDS")

    @property
    def least_life(self) -> timedelta:
        """Life that must be left for a mail to be worth sending."""
        return self._span("LEAST_LIFE_SECONDS")

    @property
    def keep_code(self) -> timedelta:
        """Life that must be left for a resend to keep the code."""
        return self._span("KEEP_CODE_SECONDS")

    def cool_down(self, sends: int) -> timedelta:
        """Give the wait after so many mails (1 or more) before the next may be asked for."""
        waits = self._rule("COOL_DOWN_SECONDS")
        return timedelta(seconds=waits[min(sends, len(waits)) - 1])

    def _span(self, rule: str) -> timedelta:
        return timedelta(seconds=self._rule(rule))

    def _rule(self, rule: str) -> Any:
        return self._own().get(rule, getattr(settings, rule))

    def _own(self) -> Mapping[str, Any]:
        return settings.PURPOSES.get(self.name, {})


@lru_cache
def _imported(path: str) -> FactsNow:
    return cast("FactsNow", import_string(path))
