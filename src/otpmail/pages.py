"""The page behind a mail's 'not you?': a GET shows a button, the POST of it cancels.

Mail scanners follow links, so a GET changes nothing. Nobody needs to be signed in: the signed token
is the capability. That is also why the view is exempt from CSRF's check: whoever could forge the
request would have to know the token, and who knows it may cancel.

In: a token. Out: a page that leaves no trace: not cached, not indexed, no referrer, no script.
"""

import secrets

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from otpmail import challenges, database, faults, links
from otpmail.models import Challenge, State
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
def cancel(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link would cancel, or cancel it."""
    challenge = _find(token)
    if challenge is None:
        return _page("unknown")
    if request.method == "POST" and _is_live(challenge) and _cancel(challenge):
        return _page("done", challenge)
    if _is_live(challenge):
        return _page("asked", challenge)
    return _page("used" if challenge.state == State.CONFIRMED else "over", challenge)


def _find(token: str) -> Challenge | None:
    challenge_id = links.read(token)
    if challenge_id is None:
        return None
    return Challenge.objects.filter(pk=challenge_id).first()


def _is_live(challenge: Challenge) -> bool:
    return challenge.state == State.PENDING and database.now() < challenge.closes_at


def _cancel(challenge: Challenge) -> bool:
    result = challenges.cancel(challenge.purpose, challenge.pk, subject=challenge.subject)
    challenge.refresh_from_db()
    if not isinstance(result, Cancelled):
        return False
    faults.tell(link_cancelled, sender=Challenge, challenge=challenge)
    return True


def _page(stage: str, challenge: Challenge | None = None) -> HttpResponse:
    nonce = secrets.token_urlsafe(16)
    reference = challenge.reference if challenge else ""
    page = render_to_string(
        "otpmail/pages/cancel.html", {"stage": stage, "reference": reference, "nonce": nonce}
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = HEADERS | {"Content-Security-Policy": policy}
    return HttpResponse(page, status=STATUS[stage], headers=headers)
