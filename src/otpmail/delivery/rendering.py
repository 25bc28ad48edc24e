"""From a challenge to an e-mail; the only place that ever holds a rendered code.

In: a delivery and its challenge. Out: a `RenderedMessage`. A purpose's templates are
``otpmail/<purpose>/subject.txt``, ``body.txt`` and ``body.html``; what a purpose lacks comes from
``otpmail/default/``. Django's loaders keep compiled templates cached.
Knows nothing of: routes, leases, retries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template import Context
from django.template.backends.django import Template as DjangoTemplate
from django.template.loader import select_template
from django.utils import timezone, translation
from django.utils.safestring import mark_safe
from django.views.decorators.debug import sensitive_variables

from otpmail import addresses, purposes
from otpmail.conf import settings
from otpmail.crypto import cancel_link, challenge_codes
from otpmail.crypto.transaction_data import Facts
from otpmail.display import languages, one_line, redaction, zones
from otpmail.models import Challenge, Delivery

SUBJECT = "subject.txt"
PARTS = (SUBJECT, "body.txt", "body.html")

METADATA = "otpmail"
"""Under this name a provider is told which delivery a mail is; each event gives it back."""


RESERVED = frozenset(
    {
        *("code", "expires_at", "minutes", "until", "reference", "cancel_url", "purpose"),
        *("language", "text_language", "text_direction"),
        *("True", "False", "None", "block", "forloop"),  # Django's own, in any template
    }
)
"""Names that templates know, so that no fact and nothing of a context can have them."""


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A mail ready to leave; no repr shows it."""

    mail: EmailMultiAlternatives = field(repr=False)


def check_names(facts: Mapping[str, object], context: Mapping[str, object]) -> None:
    """Raise ValueError for a name by which a template would show something else."""
    for what, given in (("facts", facts), ("context", context)):
        if taken := RESERVED.intersection(given):
            raise ValueError(
                f"{what} has {sorted(taken)}, which templates know as something else: rename it"
            )
    if both := facts.keys() & context.keys():
        raise ValueError(f"facts and context both have {sorted(both)}: rename one of the two")


@sensitive_variables()
def render(
    delivery: Delivery, challenge: Challenge, code: str, facts: Facts | None = None
) -> RenderedMessage:
    """Render a delivery's mail. Every attempt carries the same ``Message-ID`` and ``Date``.

    ``facts`` are what the code stands for, read just now: templates show them by their names.
    """
    with (
        translation.override(challenge.language or None),
        timezone.override(zones.find(challenge.time_zone)),
    ):
        context = _context(delivery, challenge, facts or {})
        parts = {name: _part(challenge.purpose, name, context, code) for name in PARTS}
    mail = EmailMultiAlternatives(
        subject=" ".join(parts["subject.txt"].split()),
        body=parts["body.txt"],
        from_email=addresses.spelt(str(settings.FROM or django_settings.DEFAULT_FROM_EMAIL)),
        to=[addresses.spelt(challenge.recipient)],
        headers=_headers(delivery),
    )
    mail.attach_alternative(parts["body.html"], "text/html")
    redaction.keep_secret(mail, [code, *challenge_codes.older_codes_of(challenge)])
    return RenderedMessage(marked(mail, delivery.pk))


@sensitive_variables()
def sample(purpose: str, name: str, code: str) -> str:
    """Render one part of a purpose's mail as it would be for somebody; the code in it, wherever."""
    now = timezone.now()
    somebody = Challenge(
        purpose=purpose, expires_at=now + timedelta(seconds=settings.of(purpose).LIFE_SECONDS)
    )
    context = _context(Delivery(created_at=now), somebody, purposes.sample(purpose))
    return _rendered(purpose, name, {**context, "code": code})


def marked[M: EmailMessage](mail: M, delivery_id: UUID) -> M:
    """Write on a mail which delivery it is: Anymail's ``metadata``, that other backends ignore."""
    metadata = getattr(mail, "metadata", None) or {}
    mail.metadata = {**metadata, METADATA: str(delivery_id)}  # type: ignore[attr-defined]
    return mail


@sensitive_variables()
def _part(purpose: str, name: str, context: Mapping[str, object], code: str) -> str:
    # Subjects are logged, and shown on lock screens.
    is_shown = name != SUBJECT or settings.CODE_IN_SUBJECT
    return _rendered(purpose, name, {**context, "code": code if is_shown else ""})


@sensitive_variables()
def _rendered(purpose: str, name: str, values: dict[str, object]) -> str:
    template: Any = select_template([f"otpmail/{purpose}/{name}", f"otpmail/default/{name}"])
    if not name.endswith(".txt"):
        text = template.render(values)
    elif isinstance(template, DjangoTemplate):  # plain text has nothing to escape
        text = template.template.render(Context(values, autoescape=False))
    else:
        text = template.render({key: _plain(value) for key, value in values.items()})
    return str(text).strip() + "\n"


def _context(delivery: Delivery, challenge: Challenge, facts: Facts) -> dict[str, object]:
    lives = challenge.expires_at - delivery.created_at
    text_language = languages.shown()
    return {
        **challenge.context,
        **{name: _line(value) for name, value in facts.items()},
        "expires_at": challenge.expires_at,
        "minutes": max(1, lives // timedelta(minutes=1)),
        "until": zones.clock(challenge.expires_at, challenge.time_zone),
        "reference": challenge.reference,
        "cancel_url": cancel_link.cancel_url(challenge.pk),
        "purpose": challenge.purpose,
        "language": translation.get_language() or django_settings.LANGUAGE_CODE,
        "text_language": text_language,
        "text_direction": languages.direction(text_language),
    }


def _line(value: str | int) -> str | int:
    return one_line.one_line(value) if isinstance(value, str) else value


def _plain(value: object) -> object:
    return mark_safe(value) if isinstance(value, str) else value  # noqa: S308 - no HTML


def _headers(delivery: Delivery) -> dict[str, str]:
    moment = delivery.created_at
    if django_settings.EMAIL_USE_LOCALTIME:
        moment = timezone.localtime(moment, timezone.get_default_timezone())
    return {
        "Message-ID": delivery.message_id,
        "Date": format_datetime(moment),
        "Auto-Submitted": "auto-generated",  # RFC 3834, 5
        "X-Auto-Response-Suppress": "All",
        # Another for each mail: Gmail folds no two of them into one thread.
        "X-Entity-Ref-ID": str(delivery.pk),
    }
