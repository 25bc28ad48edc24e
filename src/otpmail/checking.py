"""What is typed back, or asked, of challenges: `verify`, `cancel`, `status`, `open_`, `cancel_all`.

In: a purpose, a challenge's id, a subject (whose), what was typed, who asks. Out: results.
Knows nothing of: how a mail comes to be promised, HTTP.

A guess is counted before it is looked at, and a right code is consumed in the same transaction as
what it confirms.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.views.decorators.debug import sensitive_variables

from otpmail import (
    arguments,
    audit,
    budgets,
    codes,
    database,
    endings,
    faults,
    keys,
    limits,
    messages,
    quotas,
    receipts,
    standing,
)
from otpmail.clients import NOBODY, Client
from otpmail.deeds import Deed
from otpmail.exceptions import InsideTransactionError, NotHereError
from otpmail.models import Challenge, State
from otpmail.purposes import Purpose
from otpmail.results import (
    AlreadyUsed,
    Cancelled,
    Ended,
    Malformed,
    NotFound,
    Open,
    Status,
    Superseded,
    Verified,
    Wrong,
)
from otpmail.signals import guess_failed


@sensitive_variables("typed", "code")
def verify(
    purpose: str,
    challenge_id: UUID | str,
    typed: str | None,
    *,
    subject: str,
    confirmed: Callable[[Challenge], None] | None = None,
    client: Client = NOBODY,
) -> Verified | Malformed | Wrong | Superseded | AlreadyUsed | Ended | NotFound:
    """Check what was typed, and consume the challenge if it is the code.

    1. The guess is counted, in a transaction of its own: no rollback, crash or race gives it back.
    2. The facts are read and locked, and compared with what the code is bound to.
    3. The code is derived and compared.
    4. The right one confirms the challenge, in one transaction with ``confirmed(challenge)``, which
       does what the code stood for, and may keep its receipt (``receipts.of(challenge)``). If that
       raises, the challenge stays pending.

    Raises `InsideTransactionError` inside ``atomic`` or ``ATOMIC_REQUESTS``: 1. could not hold; and
    with ``confirmed`` on whichever database, since a rollback would undo what a used code did.
    Raises `NotHereError` if the challenge's key is not known here or its key service is away:
    the guess is not counted, or given back, and the same code may be typed again.
    """
    arguments.check(purpose=purpose, subject=subject, client=client)
    if confirmed is not None:
        _check_outside()
    challenge = standing.find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    code = codes.normalise(typed, challenge.digits) if isinstance(typed, str) else None
    if code is None:
        return Malformed(digits=challenge.digits)
    if challenge.state == State.PENDING:
        keys.find(challenge.key_id)  # raises before anything is counted
    guess = _count_guess(challenge)
    if guess is None:
        with database.atomic():  # waits for whoever decides just now
            return standing.over(standing.locked(challenge.pk), database.now())
    try:
        result = _decide(challenge.pk, code, guess, confirmed, client)
    except NotHereError:  # no code was compared, or the right one, so nobody learnt of a wrong one
        with database.atomic(durable=True):
            limits.give_back_guess(challenge)
        raise
    if isinstance(result, Wrong | Superseded):
        faults.tell(
            guess_failed,
            sender=Challenge,
            challenge=challenge,
            guesses_left=result.guesses_left,
        )
    return result


def cancel(
    purpose: str, challenge_id: UUID | str, *, subject: str, client: Client = NOBODY
) -> Cancelled | AlreadyUsed | Ended | NotFound:
    """End a pending challenge, and with it what it was bound to. Joins the caller's transaction."""
    arguments.check(purpose=purpose, subject=subject, client=client)
    challenge = standing.find(purpose, challenge_id, subject)
    if challenge is None:
        return NotFound()
    now = database.now()
    if endings.end(challenge, State.CANCELLED, now=now, client=client):
        return Cancelled()
    with database.atomic():  # a locking read: no snapshot of before
        return standing.over(standing.locked(challenge.pk), now)


def cancel_all(*, subject: str, purpose: str | None = None, client: Client = NOBODY) -> int:
    """End all that a subject has pending, of one purpose or of each: after a sign-out, say.

    Returns how many there were. Joins the caller's transaction: all end, or none.
    """
    arguments.check_all(purpose=purpose, subject=subject, client=client)
    now = database.now()
    with database.atomic():
        pending = standing.pending_of(subject, purpose=purpose)
        ended = [endings.end(one, State.CANCELLED, now=now, client=client) for one in pending]
    return sum(ended)


def open_(*, subject: str, purpose: str | None = None) -> list[Open]:
    """List what a subject has open, the oldest first: whoever lost an id finds it here."""
    arguments.check_all(purpose=purpose, subject=subject)
    now = database.now()
    found = standing.open_of(subject, purpose=purpose, now=now)
    return [
        standing.shown(
            Open,
            challenge,
            delivery,
            now=now,
            challenge_id=challenge.pk,
            purpose=challenge.purpose,
            sends_left=max(0, Purpose(challenge.purpose).sends - challenge.sends),
        )
        for challenge, delivery in standing.with_newest_mails(found)
    ]


def status(purpose: str, challenge_id: UUID | str, *, subject: str) -> Status | NotFound:
    """Tell how far a challenge and its newest mail have come. Cheap enough to be polled."""
    arguments.check(purpose=purpose, subject=subject)
    told = standing.newest_mail(purpose, challenge_id, subject)
    if told is None:
        return NotFound()
    challenge, mail = told
    state = State(challenge.state)
    return standing.shown(Status, challenge, mail, now=database.now(), state=state)


def _check_outside() -> None:
    open_ = database.open_transactions()
    if open_:
        raise InsideTransactionError(
            "verify(confirmed=...) must not run inside a transaction, of whichever database: a "
            f"rollback would undo what the code confirmed. Open is that of {', '.join(open_)}. "
            "Call it outside atomic(); with ATOMIC_REQUESTS, mark the view @non_atomic_requests."
        )


def _count_guess(challenge: Challenge) -> int | None:
    """Count the guess and commit. Returns which one it is, or None if none may be made."""
    rules, now = Purpose(challenge.purpose), database.now()
    connection = transaction.get_connection(database.alias())
    if not (connection.in_atomic_block or connection.get_autocommit()):
        raise InsideTransactionError("verify() commits by itself, so autocommit must be on")
    try:
        with database.atomic(durable=True):
            return limits.take_guess(challenge, purpose=rules, now=now)
    except RuntimeError as error:  # durable blocks refuse to be nested
        raise InsideTransactionError(
            "verify() must not run inside a transaction: a rollback would give the guess back. "
            "Call it outside atomic(); with ATOMIC_REQUESTS, mark the view @non_atomic_requests."
        ) from error


@sensitive_variables("typed", "code")
def _decide(
    challenge_id: UUID,
    typed: str,
    guess: int,
    confirmed: Callable[[Challenge], None] | None,
    client: Client,
) -> Verified | Wrong | Superseded | AlreadyUsed | Ended:
    with database.atomic(durable=True):
        challenge, now = standing.locked(challenge_id), database.now()
        if challenge.state != State.PENDING or now >= challenge.expires_at:
            return standing.over(challenge, now)
        if messages.facts_of(challenge, lock=True) is None:
            return _end(challenge, State.CHANGED, now, client)
        code = messages.code_of(challenge)
        if code is None:  # its key was revoked
            return _end(challenge, State.CANCELLED, now, client)
        if not codes.compare(code, typed) or challenge.is_decoy:
            return _wrong(challenge, typed, guess, now, client)
        if not endings.end(
            challenge, State.CONFIRMED, now=now, client=client, failures=F("failures") - 1
        ):
            return standing.over(standing.locked(challenge_id), now)
        # Before the deed: whoever issues in a transaction of theirs takes the counters first too.
        budgets.give_back(challenge.subject)
        quotas.remember(challenge.recipient, client, now)
        if confirmed is not None:
            confirmed(challenge)
        return Verified(confirmed_at=now, receipt=receipts.of(challenge))


@sensitive_variables("typed", "older")
def _wrong(
    challenge: Challenge, typed: str, guess: int, now: datetime, client: Client
) -> Wrong | Superseded | Ended:
    budgets.enforce(challenge.subject, now)
    audit.write(Deed.WRONG, challenge, now=now, client=client)
    rules = Purpose(challenge.purpose)
    if guess >= rules.guesses:  # by its own number: a later one may be looked at, and be right
        return _end(challenge, State.EXHAUSTED, now, client)
    left = max(0, rules.guesses - challenge.failures)
    if _is_older(challenge, typed):
        return Superseded(guesses_left=left, can_resend=standing.can_reissue(challenge, rules, now))
    return Wrong(guesses_left=left)


@sensitive_variables("typed", "older")
def _is_older(challenge: Challenge, typed: str) -> bool:
    try:
        older = messages.older_codes_of(challenge)
    except NotHereError:  # the wrong code was compared already: its guess stays counted
        return False
    compared = [codes.compare(code, typed) for code in older]  # all, whichever it is
    return any(compared)


def _end(challenge: Challenge, state: State, now: datetime, client: Client) -> Ended:
    endings.end(challenge, state, now=now, client=client)
    return Ended(state=state)
