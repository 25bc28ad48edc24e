"""What is typed back: `verify`.

In: a purpose, a challenge's id, an owner (whose), what was typed, who asks. Out: results.
Knows nothing of: how a mail is enqueued, HTTP.

A guess is counted before it is looked at, and a right code is consumed in the same transaction as
what it confirms. A code that was found wrong stays counted, whatever fails afterwards.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import Error, transaction
from django.views.decorators.debug import sensitive_variables

from otpmail import audit, closing, purposes
from otpmail.addresses.requester import NOBODY, Client
from otpmail.challenges import consuming, lookup
from otpmail.conf import settings
from otpmail.crypto import challenge_codes, derive, keys
from otpmail.db import arguments, database
from otpmail.exceptions import InsideTransactionError, NotHereError, foreign
from otpmail.limits import guesses_and_resends, lockout, rates
from otpmail.models import Challenge, ChallengeState
from otpmail.models.audit import AuditAction
from otpmail.results import (
    AlreadyUsed,
    Ended,
    Held,
    Malformed,
    NotFound,
    OtherChallenge,
    Superseded,
    Verified,
    Wrong,
)
from otpmail.signals import guess_failed

type Right = Callable[[Challenge, datetime], Verified | Held | None]
"""What is done with a challenge whose right code was typed; None if it was ended meanwhile."""


@dataclass(slots=True)
class _Guess:
    """One that was counted: which of the challenge's it is, and whether a code was not it."""

    number: int
    was_wrong: bool = False


@sensitive_variables()
def verify(
    purpose: str,
    challenge_id: UUID | str,
    typed: str | None,
    *,
    owner: str,
    confirmed: Callable[[Challenge], None] | None = None,
    consume: bool = True,
    client: Client = NOBODY,
) -> (
    Verified
    | Held
    | Malformed
    | Wrong
    | OtherChallenge
    | Superseded
    | AlreadyUsed
    | Ended
    | NotFound
):
    """Check what was typed, and consume the challenge if it is the code.

    1. The guess is counted, in a transaction of its own: no rollback, crash or race gives it back.
    2. The facts are read and locked, and compared with what the code is bound to.
    3. The code is derived and compared.
    4. The right one confirms the challenge, in one transaction with ``confirmed(challenge)``, which
       does what the code stood for, and may keep its receipt (``receipts.of(challenge)``). If that
       raises, the challenge stays pending and the guess is given back. With ``consume=False`` the
       challenge is held for a following page instead, which calls `challenges.consume`.
    5. A wrong one, or what is no code of this length, is compared with the owner's other open
       challenges of the purpose, a guess of each; if it is another's, the result says so.

    Raises `InsideTransactionError` inside ``atomic`` or ``ATOMIC_REQUESTS``: 1. could not hold; and
    with ``confirmed`` on whichever database, since a rollback would undo what a used code did.
    Raises `NotHereError` if the challenge's key is not known here or its key service is away:
    the guess is not counted, or given back, and the same code may be typed again.
    Raises `RolledBackError`, and nothing is done, if ``confirmed`` or a receiver of
    ``challenge_ended`` swallowed a database's error, which takes the whole transaction back.
    """
    arguments.flag("consume", consume)
    if confirmed is not None:
        arguments.function("confirmed", confirmed)
        _check_outside(consume=consume)
    arguments.check(purpose=purpose, owner=owner, client=client)
    found = lookup.find(purpose, challenge_id, owner)
    if found is None:
        return NotFound()
    challenge, now = found
    right = _confirming(confirmed, client) if consume else _holding(client)
    code = _read(typed, challenge)
    result = (
        Malformed(digits=challenge.digits)
        if code is None
        else _guess(challenge, code, right, client, now)
    )
    if isinstance(result, Wrong | Superseded):
        left = result.guesses_left
        foreign.send_signal(guess_failed, sender=Challenge, challenge=challenge, guesses_left=left)
    if isinstance(result, Wrong | Malformed):
        return _of_another(challenge, typed, client) or result
    return result


@sensitive_variables()
def _read(typed: object, challenge: Challenge) -> str | None:
    return derive.normalise(typed, challenge.digits) if isinstance(typed, str) else None


def _confirming(confirmed: Callable[[Challenge], None] | None, client: Client) -> Right:
    def confirm(challenge: Challenge, now: datetime) -> Verified | None:
        if not closing.close(
            challenge, ChallengeState.CONFIRMED, now=now, client=client, gives_guess_back=True
        ):
            return None
        # Before what it confirms: an issue inside a transaction takes the counters first too.
        lockout.give_back(challenge.owner)
        rates.remember(challenge.recipient, client, now)
        if confirmed is not None:
            confirmed(challenge)
            closing.check_closed(challenge)
        return consuming.verified(challenge, now)

    return confirm


def _holding(client: Client) -> Right:
    return lambda challenge, now: consuming.hold(challenge, client, now)


@sensitive_variables()
def _guess(
    challenge: Challenge, code: str, right: Right, client: Client, now: datetime
) -> Verified | Held | Wrong | Superseded | AlreadyUsed | Ended:
    if challenge.state == ChallengeState.PENDING:
        keys.find(challenge.key_id)  # raises before anything is counted
    guess = _count_guess(challenge, now)
    if guess is None:
        with database.atomic():  # waits for whoever decides just now
            return lookup.over(*lookup.locked(challenge.pk))
    with _given_back_if_not_wrong(challenge, guess), database.atomic(durable=True):
        return _decide(challenge.pk, code, guess, right, client)


@contextlib.contextmanager
def _given_back_if_not_wrong(challenge: Challenge, guess: _Guess) -> Iterator[None]:
    """Give the guess back if a fault came before the code was compared, or after it was right.

    Nobody learnt of a wrong code then. Not if it was wrong: who could make us stumble over it would
    guess for nothing.
    """
    try:
        yield
    except BaseException:
        if not guess.was_wrong:
            with contextlib.suppress(Error), database.atomic(durable=True):
                guesses_and_resends.give_back_guess(challenge)
        raise


def _check_outside(*, consume: bool) -> None:
    if not consume:
        raise ValueError("confirmed is called when the code is consumed: do it beside consume()")
    open_ = database.open_transactions()
    if open_:
        raise InsideTransactionError(
            "verify(confirmed=...) must not run inside a transaction, of whichever database: a "
            f"rollback would undo what the code confirmed. Open is that of {', '.join(open_)}. "
            "Call it outside atomic(); with ATOMIC_REQUESTS, mark the view @non_atomic_requests."
        )


def _count_guess(challenge: Challenge, now: datetime) -> _Guess | None:
    """Count the guess and commit. Returns which one it is, or None if none may be made."""
    connection = transaction.get_connection(database.alias())
    if not (connection.in_atomic_block or connection.get_autocommit()):
        raise InsideTransactionError("verify() commits by itself, so autocommit must be on")
    try:
        with database.atomic(durable=True):
            number = guesses_and_resends.count_guess(challenge, now=now)
    except RuntimeError as error:  # durable blocks refuse to be nested
        raise InsideTransactionError(
            "verify() must not run inside a transaction: a rollback would give the guess back. "
            "Call it outside atomic(); with ATOMIC_REQUESTS, mark the view @non_atomic_requests."
        ) from error
    return None if number is None else _Guess(number)


@sensitive_variables()
def _decide(
    challenge_id: UUID, typed: str, guess: _Guess, right: Right, client: Client
) -> Verified | Held | Wrong | Superseded | AlreadyUsed | Ended:
    challenge, now = lookup.locked(challenge_id)
    if challenge.state != ChallengeState.PENDING or now >= challenge.expires_at:
        return lookup.over(challenge, now)
    is_changed = purposes.unchanged_facts(challenge, lock=True) is None
    code = None if is_changed else challenge_codes.code_of(challenge)
    if code is None:  # or its key was revoked; nothing was compared, so the owner pays nothing
        state = ChallengeState.CHANGED if is_changed else ChallengeState.CANCELLED
        ended = _end(challenge, state, now, client)
        lockout.give_back(challenge.owner)
        return ended
    if not derive.compare(code, typed) or challenge.is_decoy:
        guess.was_wrong = True
        return _wrong(challenge, typed, guess, now, client)
    return right(challenge, now) or lookup.over(*lookup.locked(challenge_id))


@sensitive_variables()
def _wrong(
    challenge: Challenge, typed: str, guess: _Guess, now: datetime, client: Client
) -> Wrong | Superseded | Ended:
    ended = _spend(challenge, guess, now, client)
    if ended:
        return ended
    rules = settings.of(challenge.purpose)
    left = max(0, rules.GUESSES - challenge.failures)
    if _is_older(challenge, typed):
        return Superseded(guesses_left=left, can_resend=lookup.can_reissue(challenge, rules, now))
    return Wrong(guesses_left=left)


def _spend(challenge: Challenge, guess: _Guess, now: datetime, client: Client) -> Ended | None:
    """Write down that a guess is spent; the last one ends the challenge."""
    lockout.enforce(challenge.owner, now)
    audit.write(AuditAction.WRONG, challenge, now=now, client=client)
    # By its own number: a later one may be looked at, and be right.
    is_last = guess.number >= settings.of(challenge.purpose).GUESSES
    return _end(challenge, ChallengeState.EXHAUSTED, now, client) if is_last else None


@sensitive_variables()
def _is_older(challenge: Challenge, typed: str) -> bool:
    try:
        older = challenge_codes.older_codes_of(challenge)
    except NotHereError:  # the wrong code was compared already: its guess stays counted
        return False
    compared = [derive.compare(code, typed) for code in older]  # all, whichever it is
    return any(compared)


def _end(challenge: Challenge, state: ChallengeState, now: datetime, client: Client) -> Ended:
    closing.close(challenge, state, now=now, client=client)
    return Ended(state=state)


@sensitive_variables()
def _of_another(challenge: Challenge, typed: object, client: Client) -> OtherChallenge | None:
    """Tell of which other open challenge of the same owner and purpose it is the code, if of any.

    One after the other: what is not compared costs nothing.
    """
    whose = lookup.open_of(challenge.owner, purpose=challenge.purpose)
    for other, now in whose:
        code = None if other.pk == challenge.pk else _read(typed, other)
        if code is not None and _is_code_of(other, code, client, now):
            challenge.refresh_from_db(fields=["failures"])
            left = lookup.guesses_left(challenge)
            return OtherChallenge(
                challenge_id=other.pk, reference=other.reference, guesses_left=left
            )
    return None


@sensitive_variables()
def _is_code_of(other: Challenge, typed: str, client: Client, now: datetime) -> bool:
    """Compare, at the cost of a guess; also if it is right, since it was typed elsewhere.

    If that was its last one, the code is good no more, and nobody is sent there.
    """
    try:
        keys.find(other.key_id)
        guess = _count_guess(other, now)
        if guess is None:
            return False
        with _given_back_if_not_wrong(other, guess), database.atomic(durable=True):
            locked, now = lookup.locked(other.pk)
            code = challenge_codes.code_of(locked)
            if code is None:  # it ended, or its key was revoked
                return False
            guess.was_wrong = True
            _spend(locked, guess, now, client)
            is_right = derive.compare(code, typed) and not locked.is_decoy
            return is_right and lookup.can_be_typed(locked, now)
    except NotHereError:
        return False
