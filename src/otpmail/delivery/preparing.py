"""From a delivery to a mail that can leave now.

1. Lengthen a lease that runs short; who lost it does nothing more.
2. Drop what is dead, changed, or has too little life left.
3. Decline what cannot leave from here and now: all its routes are shut to this process, or a key,
   a template or a setting is missing in it. That is no attempt.
4. Render the mail. Whatever a template raises is a failed attempt of its mail.

In: a delivery, and the holder of its lease. Out: a `Ready`, or the `Result` of a round without it.
Knows nothing of: batches, and how a mail is sent.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.template import TemplateDoesNotExist, TemplateSyntaxError

from otpmail import routes
from otpmail.db.database import Clock
from otpmail.delivery import leases, outbox, payload, recording, round_results
from otpmail.delivery.payload import Payload
from otpmail.delivery.rendering import RenderedMessage
from otpmail.delivery.round_results import DECLINED, DONE, Result, log_fault
from otpmail.exceptions import NotHereError
from otpmail.exceptions.foreign import ends_process
from otpmail.models import Delivery, Reason
from otpmail.outcomes import Blame, Kind, Outcome
from otpmail.routes import RouteAttempt

NOT_HERE = (
    NotHereError,
    TemplateDoesNotExist,
    TemplateSyntaxError,
    ImproperlyConfigured,
    ImportError,
)
"""What an old process of a rolling deploy meets, or one whose key service is away."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A delivery, what it carries, and the mail that this makes."""

    delivery: Delivery
    carried: Payload
    rendered: RenderedMessage
    domain: str
    """The first recipient's."""


def prepare(delivery: Delivery, holder: str, clock: Clock) -> Ready | Result:
    """Have a delivery made a mail, if it can leave now."""
    if not leases.extend_if_short(delivery, holder, now=clock()):
        return DONE
    reason = drop_reason(delivery, clock())
    if reason is not None:
        return recording.drop(delivery, holder, reason, now=clock())
    carried = payload.of(delivery)
    if routes.wait_seconds(carried.routes) > 0:
        return DECLINED
    rendered = _render(delivery, carried, clock())
    if isinstance(rendered, RenderedMessage):
        return Ready(delivery, carried, rendered, routes.domain_of(rendered.mail))
    if isinstance(rendered, Reason):
        return recording.drop(delivery, holder, rendered, now=clock())
    outbox.note_render_failed(delivery, holder)
    return rendered if isinstance(rendered, Result) else _fail(delivery, holder, rendered, clock)


def drop_reason(delivery: Delivery, now: datetime) -> Reason | None:
    """Tell why a mail is of no use any more, if it is not."""
    reason = payload.of(delivery).drop_reason()
    return Reason.EXPIRED if reason is None and now >= delivery.deadline else reason


def _render(
    delivery: Delivery, carried: Payload, now: datetime
) -> RenderedMessage | Reason | Result | Outcome:
    told = f"delivery={delivery.pk} {delivery.log_fields}"
    try:
        rendered = carried.rendered()
    except Error:
        raise
    except NOT_HERE as error:
        if round_results.once_per_minute.may_log(f"{type(error).__name__} {delivery.queue}"):
            what = f"Email cannot be rendered here, and is left to others {told}"
            log_fault(what, error, is_log_mail=delivery.is_log_mail)
        return DECLINED
    except BaseException as error:
        if ends_process(error):
            raise
        log_fault(f"Email cannot be rendered {told}", error, is_log_mail=delivery.is_log_mail)
        reply = f"not rendered: {type(error).__name__}"
        return Outcome(kind=Kind.TRANSIENT, reply=reply, blame=Blame.MAIL)
    if isinstance(rendered, Reason):
        carried.give_up(rendered, now)
    return rendered


def _fail(delivery: Delivery, holder: str, outcome: Outcome, clock: Clock) -> Result:
    route = payload.of(delivery).routes[0]
    failed = RouteAttempt(route=route, began=time.monotonic(), took_seconds=0.0, outcome=outcome)
    end = recording.end_of(delivery, [failed], clock())
    return recording.record([end], holder, clock)[delivery.pk]
