"""The two pages: `ask` takes an address, `code` takes the code; `progress` is one line of it.

In: requests. Out: pages; at the end a user who is signed in, in a session whose key is new.
Knows nothing of: how a code is made, mailed or compared.

A GET changes nothing, so what scans links uses nothing up. Nothing runs inside a transaction of
the request, whatever ``ATOMIC_REQUESTS`` says, or a rollback would give guesses back.
"""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth import login
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from otpmail import challenges, results, sessions
from otpmail.db import database
from otpmail.exceptions import NotHereError
from otpmail.models import ChallengeState
from otpmail.results import NextStep
from otpmail.signin import clients, sentences, tabs, users
from otpmail.signin.conf import SIGN_IN, settings
from otpmail.signin.tabs import Tab

type View = Callable[..., HttpResponse]

SAID = {
    "sent": _("One more mail is on its way. Take the code of the newest one."),
    "soon": _("A code was mailed a moment ago. It is still good."),
}
"""What a page that was led to says of what was done."""


def page(view: View) -> View:
    """Let a view be a page of ours: kept nowhere, forged by nobody, in no transaction."""
    for decorate in (csrf_protect, never_cache, require_http_methods(["GET", "HEAD", "POST"])):
        view = decorate(view)

    @wraps(view)
    def answering(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotHereError:  # of a key, or its service is away: nothing was spent
            return _page(request, "later", status=503)

    for alias in connections:
        answering = transaction.non_atomic_requests(using=alias)(answering)
    return answering


@page
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for the address, and mail a code to it if it is known."""
    if request.method != "POST":
        tab = tabs.find(request, request.GET.get("of", ""))
        return _ask_page(request, address=tab.address if tab else "")
    address = request.POST.get("email", "").strip()
    match issued := _issue(request, address):
        case results.Issued(challenge_id=challenge_id):
            following = _safe(request, request.POST.get("next", ""))
            owner = sessions.owner(request)
            tabs.keep(
                request,
                Tab(challenge_id=challenge_id, owner=owner, address=address, next=following),
            )
            return _to_code(challenge_id, said="" if issued.mailed else "soon")
        case results.InvalidAddress():
            return _ask_page(request, address, sentences.of_address(issued), status=400)
        case results.OverCap():
            return _ask_page(request, address, sentences.of_address(issued), status=429)


@sensitive_post_parameters("code")
@page
def code(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Take the code, or mail one more."""
    tab = tabs.find(request, challenge_id)
    if tab is None:
        return _gone(request)
    if request.method != "POST":
        return _code_page(request, tab, said=str(SAID.get(request.GET.get("said", ""), "")))
    if request.POST.get("do") == "resend":
        return _resend(request, tab)
    return _check(request, tab)


@page
def progress(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Tell how the mail stands, for the script that keeps that line of the page new."""
    tab = tabs.find(request, challenge_id)
    status = _status(tab) if tab else None
    if tab is None or status is None:
        return JsonResponse({}, status=404)
    line = _mail_line(tab, status)
    told = {"tone": line.tone, "lead": line.lead, "more": line.more}
    return JsonResponse(told | {"poll_after_ms": status.delivery.poll_after_ms})


def _issue(
    request: HttpRequest, address: str
) -> results.Issued | results.InvalidAddress | results.OverCap:
    user = users.find(address)
    return challenges.issue(
        SIGN_IN,
        owner=sessions.owner(request),
        recipient=users.address_of(user) if user else users.mailable(address),
        context={"site": settings.SIGNIN_SITE_NAME},
        client=clients.of(request),
        decoy=user is None,
    )


def _resend(request: HttpRequest, tab: Tab) -> HttpResponse:
    result = challenges.resend(
        SIGN_IN, tab.challenge_id, owner=tab.owner, client=clients.of(request)
    )
    match result:
        case results.Resent():
            return _to_code(tab.challenge_id, said="sent")
        case results.TooSoon() | results.OverCap():
            return _code_page(request, tab, said=sentences.of_resend(result), status=429)
        case results.AlreadyUsed() | results.Ended():
            return _code_page(request, tab, status=410)
        case results.NotFound():
            return _gone(request)


@sensitive_variables()
def _check(request: HttpRequest, tab: Tab) -> HttpResponse:
    device, found = clients.device_of(request), []
    result = challenges.verify(
        SIGN_IN,
        tab.challenge_id,
        request.POST.get("code"),
        owner=tab.owner,
        confirmed=lambda challenge: found.append(users.find(challenge.recipient)),
        client=clients.of(request, device),
    )
    match result:
        case results.Verified():
            return _sign_in(request, tab, found[-1], device)
        case results.AlreadyUsed() | results.Ended() | results.Held():
            return _code_page(request, tab, status=410)
        case results.NotFound():
            return _gone(request)
        case _:
            return _code_page(request, tab, error=sentences.of_check(result), status=400)


def _sign_in(
    request: HttpRequest, tab: Tab, user: AbstractBaseUser | None, device: str
) -> HttpResponse:
    tabs.forget(request)
    challenges.cancel_all(owner=tab.owner, purpose=SIGN_IN)
    backend = users.backend_of(user) if user else None
    if user is None or backend is None:  # it was taken from them since
        return _page(request, "refused", status=403)
    login(request, user, backend)  # type: ignore[arg-type]  # a user of any model
    response = HttpResponseRedirect(
        _safe(request, tab.next) or resolve_url(django_settings.LOGIN_REDIRECT_URL)
    )
    clients.remember(response, device)
    return response


def _code_page(
    request: HttpRequest, tab: Tab, *, error: str = "", said: str = "", status: int = 200
) -> HttpResponse:
    """Show how things stand: the mail, the field while a code is good, what else can be done."""
    known = _status(tab)
    if known is None:
        return _gone(request)
    now = database.now()
    is_open = known.delivery.next_step is not NextStep.NOTHING and known.guesses_left > 0
    takes_code = is_open and now < known.expires_at
    over = None if takes_code else sentences.of_over(_end(known), can_resend=is_open)
    return _page(
        request,
        "code",
        status=status,
        tab=tab,
        known=known,
        now=now,
        line=over or _mail_line(tab, known),
        takes_code=takes_code,
        can_resend=is_open and now >= known.resend_at,
        is_open=is_open,
        error=error,
        said=said,
    )


def _end(known: results.Status) -> ChallengeState:
    if known.state != ChallengeState.PENDING:
        return known.state
    return ChallengeState.EXPIRED if known.guesses_left else ChallengeState.EXHAUSTED


def _mail_line(tab: Tab, known: results.Status) -> sentences.Line:
    return sentences.of_mail(known.delivery, tab.address, if_known=True)


def _status(tab: Tab) -> results.Status | None:
    known = challenges.status(SIGN_IN, tab.challenge_id, owner=tab.owner)
    return known if isinstance(known, results.Status) else None


def _ask_page(
    request: HttpRequest, address: str = "", error: str = "", status: int = 200
) -> HttpResponse:
    tab = tabs.find(request, request.GET.get("of", ""))
    given = request.POST.get("next", request.GET.get("next", tab.next if tab else ""))
    following = _safe(request, given)
    return _page(request, "ask", status=status, address=address, error=error, next=following)


def _gone(request: HttpRequest) -> HttpResponse:
    return _page(request, "gone", status=404)


def _page(request: HttpRequest, name: str, *, status: int = 200, **context: object) -> HttpResponse:
    shown = {"site": settings.SIGNIN_SITE_NAME or request.get_host()}
    return render(request, f"otpmail/signin/{name}.html", shown | context, status=status)


def _to_code(challenge_id: UUID, said: str) -> HttpResponse:
    response = redirect(reverse("otpmail_signin:code", args=[challenge_id]))
    if said:
        response["Location"] += f"?said={said}"
    return response


def _safe(request: HttpRequest, following: str) -> str:
    """Give an address of this host as it is, and nothing for any other."""
    is_safe = url_has_allowed_host_and_scheme(
        following, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return following if is_safe else ""
