"""Where a challenge stands: whose it is, what they may see of it, why it takes no code now.

In: a challenge or its id, an owner, the time. Out: the row, or a result.
Knows nothing of: what is done with it.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet

from otpmail.addresses.masking import mask
from otpmail.challenges import mail_progress
from otpmail.conf import Settings, settings
from otpmail.crypto import keys
from otpmail.db import arguments
from otpmail.db.statements import Find
from otpmail.models import Challenge, ChallengeState, Delivery
from otpmail.results import AlreadyUsed, ChallengeView, Ended

type Dated = tuple[Challenge, datetime]
"""A challenge, and the database's time when it was read."""


def find(purpose: str, challenge_id: object, owner: str) -> Dated | None:
    """Read a challenge of this owner. Another's looks like none, and so does what is no id."""
    pk = arguments.challenge_id(challenge_id)
    if pk is None:
        return None
    # Asked for whole: a row of somebody else's, read and thrown away, would take longer than none.
    found = _FIND(pk=pk, purpose=purpose, owner=owner)
    return found[0] if found and is_mine(found[0][0], purpose, owner) else None


def pending_of(owner: str, *, purpose: str | None = None) -> list[Dated]:
    """Read an owner's pending challenges, of one purpose or of each; the oldest first."""
    found = _PENDING(owner=owner) if purpose is None else _PENDING_FOR(owner=owner, purpose=purpose)
    return [dated for dated in found if is_mine(dated[0], purpose or dated[0].purpose, owner)]


def open_of(owner: str, *, purpose: str | None = None) -> list[Dated]:
    """Read those of them whose code can be typed, or sent again."""
    return [dated for dated in pending_of(owner, purpose=purpose) if is_open(*dated)]


def newest_mail(
    purpose: str, challenge_id: object, owner: str
) -> tuple[Challenge, Delivery, datetime] | None:
    """Read a challenge of this owner, with the one of its mails to tell of."""
    pk = arguments.challenge_id(challenge_id)
    found = _MAILS(pk=pk, purpose=purpose, owner=owner) if pk is not None else []
    if not found:
        return None
    challenge, now = found[0][0].challenge, found[0][1]
    if not is_mine(challenge, purpose, owner):
        return None
    return challenge, mail_progress.newest([delivery for delivery, _ in found]), now


def with_newest_mails(challenges: list[Challenge]) -> list[tuple[Challenge, Delivery]]:
    """Read, of each, the one of its mails to tell of."""
    mails = defaultdict(list)
    for mail in _mails().filter(challenge__in=challenges):
        mails[mail.challenge].append(mail)
    return [(one, mail_progress.newest(mails[one])) for one in challenges if mails[one]]


def _mails() -> QuerySet[Delivery]:
    """Give the mails of challenges' live generations, the newest first."""
    rows = Delivery.objects.select_related("challenge")
    return rows.filter(generation=F("challenge__generation")).order_by("-created_at", "-pk")


def locked(challenge_id: UUID) -> Dated:
    """Read it as it stands after whoever decides just now. Joins the caller's transaction."""
    found = _LOCK(pk=challenge_id)
    if not found:
        raise Challenge.DoesNotExist
    return found[0]


def is_mine(challenge: Challenge, purpose: str, owner: str) -> bool:
    """Tell whether it is of this purpose and owner, to the letter."""
    # Compared again: a database's collation may hold 'alice' and 'ALICE' to be one.
    return (challenge.purpose, challenge.owner) == (purpose, owner)


def view[S: ChallengeView](
    result: Callable[..., S],
    challenge: Challenge,
    delivery: Delivery,
    *,
    now: datetime,
    **own: object,
) -> S:
    """Make the result that shows a challenge and one of its mails; ``own`` is what else it has.

    Before sign-in what became of a mail would tell whether the address is known: each looks as if
    it were queued for ever, since the challenge began, for only a known one is sent again.
    """
    if settings.of(challenge.purpose).BEFORE_SIGN_IN:
        delivery = Delivery(created_at=challenge.created_at)
    return result(
        reference=challenge.reference,
        recipient=mask(challenge.recipient),
        digits=challenge.digits,
        expires_at=challenge.expires_at,
        resend_at=challenge.resend_at,
        guesses_left=guesses_left(challenge),
        delivery=mail_progress.of(challenge, delivery, now=now),
        **own,
    )


def guesses_left(challenge: Challenge) -> int:
    """Tell how many wrong codes a challenge bears still."""
    return max(0, settings.of(challenge.purpose).GUESSES - challenge.failures)


def over(challenge: Challenge, now: datetime) -> AlreadyUsed | Ended:
    """Say why a challenge takes no code now."""
    if challenge.state == ChallengeState.CONFIRMED and challenge.ended_at is not None:
        return AlreadyUsed(confirmed_at=challenge.ended_at)
    if challenge.state != ChallengeState.PENDING:
        return Ended(state=ChallengeState(challenge.state))
    rules = settings.of(challenge.purpose)
    if challenge.failures >= rules.GUESSES:
        return Ended(state=ChallengeState.EXHAUSTED)
    return Ended(state=ChallengeState.EXPIRED, can_resend=can_reissue(challenge, rules, now))


def is_open(challenge: Challenge, now: datetime) -> bool:
    """Tell whether a pending challenge's code can be typed, or a new one be sent."""
    if keys.is_revoked(challenge.key_id):  # it is over, before the sweep too
        return False
    return can_be_typed(challenge, now) or can_reissue(
        challenge, settings.of(challenge.purpose), now
    )


def can_be_typed(challenge: Challenge, now: datetime) -> bool:
    """Tell whether a pending challenge's live code can be typed."""
    return (
        now < challenge.expires_at and challenge.failures < settings.of(challenge.purpose).GUESSES
    )


def can_reissue(challenge: Challenge, rules: Settings, when: datetime) -> bool:
    """Tell whether a resend at that moment can make the next generation."""
    has_life = challenge.closes_at - when > timedelta(seconds=rules.LEAST_LIFE_SECONDS)
    has_guesses = challenge.failures < rules.GUESSES
    return has_life and has_guesses and challenge.generation < rules.GENERATIONS


_FIND = Find(
    Challenge,
    lambda pk, purpose, owner: Challenge.objects.filter(pk=pk, purpose=purpose, owner=owner),
    pk="id",
    purpose="purpose",
    owner="owner",
)

_LOCK = Find(Challenge, lambda pk: Challenge.objects.select_for_update().filter(pk=pk), pk="id")


def _pending(**whose: str) -> QuerySet[Challenge]:
    rows = Challenge.objects.filter(state=ChallengeState.PENDING, **whose)
    return rows.order_by("pk")  # as all do who lock several


_PENDING = Find(Challenge, _pending, owner="owner")

_PENDING_FOR = Find(Challenge, _pending, owner="owner", purpose="purpose")

_MAILS = Find(
    Delivery,
    lambda pk, purpose, owner: _mails().filter(
        challenge=pk, challenge__purpose=purpose, challenge__owner=owner
    ),
    "challenge",
    pk="challenge",
    purpose=Challenge._meta.get_field("purpose"),
    owner=Challenge._meta.get_field("owner"),
)
