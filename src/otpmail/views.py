"""The page behind a mail's 'not you?': a GET shows a button, the POST of it cancels.

The token stands behind the ``#`` of the link, which no browser sends: so it is in no line of an
access log, ours or a proxy's, and in no referrer. A script of three lines puts it into the form;
without scripts the reader pastes the link. It comes in the body of the POST and nowhere else.

Mail scanners follow links, so a GET changes nothing, and asks nothing. Nobody needs to be signed
in: the signed token is the capability. That is also why the view is exempt from CSRF's check:
whoever could forge the request would have to know the token, and who knows it may cancel.

In: a token. Out: a page that leaves no trace: not cached, not indexed, no referrer.
"""

import secrets

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from otpmail import challenges
from otpmail.crypto import cancel_link
from otpmail.db import database
from otpmail.display import languages
from otpmail.exceptions import foreign
from otpmail.models import Challenge, ChallengeState
from otpmail.results import Cancelled
from otpmail.signals import link_cancelled

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
STATUS = {"asked": 200, "done": 200, "used": 410, "over": 410, "unknown": 404}


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("token")
def cancel(request: HttpRequest) -> HttpResponse:
    """Show the button, or cancel what the token names."""
    if request.method != "POST":
        return _page("asked")
    challenge = _find(request)
    if challenge is None:
        return _page("unknown")
    if _is_live(challenge) and _cancel(challenge):
        return _page("done", challenge)
    return _page("used" if challenge.state == ChallengeState.CONFIRMED else "over", challenge)


@sensitive_variables()
def _find(request: HttpRequest) -> Challenge | None:
    pasted = request.POST.get("token", "")
    challenge_id = cancel_link.read(pasted.rpartition("#")[2].strip())
    if challenge_id is None:
        return None
    return Challenge.objects.filter(pk=challenge_id).first()


def _is_live(challenge: Challenge) -> bool:
    return challenge.state == ChallengeState.PENDING and database.now() < challenge.closes_at


def _cancel(challenge: Challenge) -> bool:
    result = challenges.cancel(challenge.purpose, challenge.pk, owner=challenge.owner)
    challenge.refresh_from_db()
    if not isinstance(result, Cancelled):
        return False
    foreign.send_signal(link_cancelled, sender=Challenge, challenge=challenge)
    return True


def _page(stage: str, challenge: Challenge | None = None) -> HttpResponse:
    nonce = secrets.token_urlsafe(16)
    reference = challenge.reference if challenge else ""
    language = languages.shown()
    context = {
        "stage": stage,
        "reference": reference,
        "nonce": nonce,
        "language": language,
        "direction": languages.direction(language),
    }
    page = render_to_string("otpmail/pages/cancel.html", context)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = HEADERS | {"Content-Security-Policy": policy}
    return HttpResponse(page, status=STATUS[stage], headers=headers)
