"""One page asks for an address, one takes the code: what all that is done by a code has in common.

In: requests. Out: pages. What differs is a method: whose the code is (`Pages.owner`), to whom it
is mailed (`Pages.to`), what it confirms (`Pages.confirm`), what is shown then (`Pages.done`).
Knows nothing of: users.

A GET changes nothing, so what scans links uses nothing up. Nothing runs inside a transaction of
the request, whatever ``ATOMIC_REQUESTS`` says, or a rollback would give guesses back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from uuid import UUID

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from otpmail import challenges, results
from otpmail.db import database
from otpmail.exceptions import NotHereError
from otpmail.models import Challenge, ChallengeState
from otpmail.results import NextStep
from otpmail.signin import clients, sentences, tabs
from otpmail.signin.conf import settings
from otpmail.signin.tabs import Tab

type View = Callable[..., HttpResponse]

SAID = {
    "sent": _("One more mail is on its way. Take the code of the newest one."),
    "soon": _("A code was mailed a moment ago. It is still good."),
}
"""What a page that was led to says of what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Where a code is mailed to, if it is."""

    address: str
    decoy: bool = False


def page(view: View) -> View:
    """Let a view be a page of ours: kept nowhere, forged by nobody, in no transaction."""
    for decorate in (csrf_protect, never_cache, require_http_methods(["GET", "HEAD", "POST"])):
        view = decorate(view)

    @wraps(view)
    def answering(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotHereError:  # of a key, or its service is away: nothing was spent
            return show(request, "later", status=503)

    for alias in connections:
        answering = transaction.non_atomic_requests(using=alias)(answering)
    return answering


def show(request: HttpRequest, name: str, *, status: int = 200, **context: object) -> HttpResponse:
    """Show one of our templates."""
    shown = {
        "site": settings.SIGNIN_SITE_NAME or request.get_host(),
        "is_signed_in": request.user.is_authenticated,
    }
    return render(request, f"otpmail/signin/{name}.html", shown | context, status=status)


def safe(request: HttpRequest, following: str) -> str:
    """Give an address of this host as it is, and nothing for any other."""
    is_safe = url_has_allowed_host_and_scheme(
        following, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return following if is_safe else ""


class Pages(ABC):
    """The pages of one purpose."""

    purpose: str
    name: str
    """Of the page that asks, among the URLs and the templates; the others' begin with it."""

    @abstractmethod
    def owner(self, request: HttpRequest) -> str:
        """Give whose the code is."""

    @abstractmethod
    def to(self, address: str) -> Recipient:
        """Give whom the code is mailed to, of what was typed."""

    @abstractmethod
    def confirm(self, request: HttpRequest, challenge: Challenge) -> object:
        """Do what the code stood for, in the transaction that uses it up."""

    @abstractmethod
    def done(self, request: HttpRequest, tab: Tab, confirmed: object) -> HttpResponse:
        """Show what came of it."""

    @property
    @abstractmethod
    def hides(self) -> bool:
        """Whether nobody may learn if an address is known."""

    def ask(self, request: HttpRequest) -> HttpResponse:
        """Ask for the address, and mail a code to it."""
        if request.method != "POST":
            tab = tabs.find(request, request.GET.get("of", ""))
            return self._ask_page(request, address=tab.address if tab else "")
        address = request.POST.get("email", "").strip()
        match issued := self._issue(request, address):
            case results.Issued(challenge_id=challenge_id):
                following = safe(request, request.POST.get("next", ""))
                tabs.keep(request, Tab(challenge_id=challenge_id, address=address, next=following))
                return self._to_code(challenge_id, said="" if issued.mailed else "soon")
            case results.InvalidAddress():
                return self._ask_page(request, address, sentences.of_address(issued), status=400)
            case results.OverCap():
                return self._ask_page(request, address, sentences.of_address(issued), status=429)

    def code(self, request: HttpRequest, challenge_id: UUID) -> HttpResponse:
        """Take the code, or mail one more."""
        tab = tabs.find(request, challenge_id)
        if tab is None:
            return show(request, "gone", status=404)
        if request.method != "POST":
            said = str(SAID.get(request.GET.get("said", ""), ""))
            return self._code_page(request, tab, said=said)
        if request.POST.get("do") == "resend":
            return self._resend(request, tab)
        return self._check(request, tab)

    def progress(self, request: HttpRequest, challenge_id: UUID) -> HttpResponse:
        """Tell how the mail stands, for the script that keeps that line of the page new."""
        tab = tabs.find(request, challenge_id)
        known = self._status(request, tab) if tab else None
        if tab is None or known is None:
            return JsonResponse({}, status=404)
        line = self._mail_line(tab, known)
        told = {"tone": line.tone, "lead": line.lead, "more": line.more}
        return JsonResponse(told | {"poll_after_ms": known.delivery.poll_after_ms})

    def _issue(
        self, request: HttpRequest, address: str
    ) -> results.Issued | results.InvalidAddress | results.OverCap:
        to = self.to(address)
        return challenges.issue(
            self.purpose,
            owner=self.owner(request),
            recipient=to.address,
            context={"site": settings.SIGNIN_SITE_NAME},
            client=clients.of(request),
            decoy=to.decoy,
        )

    def _resend(self, request: HttpRequest, tab: Tab) -> HttpResponse:
        match result := challenges.resend(
            self.purpose,
            tab.challenge_id,
            owner=self.owner(request),
            client=clients.of(request),
        ):
            case results.Resent():
                return self._to_code(tab.challenge_id, said="sent")
            case results.TooSoon() | results.OverCap():
                said = sentences.of_resend(result)
                return self._code_page(request, tab, said=said, status=429)
            case results.AlreadyUsed() | results.Ended():
                return self._code_page(request, tab, status=410)
            case results.NotFound():
                return show(request, "gone", status=404)

    @sensitive_variables()
    def _check(self, request: HttpRequest, tab: Tab) -> HttpResponse:
        device, confirmed = clients.device_of(request), []
        match result := challenges.verify(
            self.purpose,
            tab.challenge_id,
            request.POST.get("code"),
            owner=self.owner(request),
            confirmed=lambda challenge: confirmed.append(self.confirm(request, challenge)),
            client=clients.of(request, device),
        ):
            case results.Verified():
                response = self.done(request, tab, confirmed[-1])
                clients.remember(response, device)
                return response
            case results.AlreadyUsed() | results.Ended() | results.Held():
                return self._code_page(request, tab, status=410)
            case results.NotFound():
                return show(request, "gone", status=404)
            case _:
                return self._code_page(request, tab, error=sentences.of_check(result), status=400)

    def _code_page(
        self, request: HttpRequest, tab: Tab, *, error: str = "", said: str = "", status: int = 200
    ) -> HttpResponse:
        """Show how things stand: the mail, the field while a code is good, what can be done."""
        known = self._status(request, tab)
        if known is None:
            return show(request, "gone", status=404)
        now = database.now()
        is_open = known.delivery.next_step is not NextStep.NOTHING and known.guesses_left > 0
        takes_code = is_open and now < known.expires_at
        over = None if takes_code else sentences.of_over(_end(known), can_resend=is_open)
        return show(
            request,
            self._code_name,
            status=status,
            **self._urls(tab),
            known=known,
            now=now,
            hides=self.hides,
            line=over or self._mail_line(tab, known),
            takes_code=takes_code,
            can_resend=is_open and now >= known.resend_at,
            is_open=is_open,
            error=error,
            said=said,
        )

    @property
    def _code_name(self) -> str:
        return "code" if self.name == "ask" else f"{self.name}_code"

    def _urls(self, tab: Tab) -> dict[str, str]:
        return {
            "ask_url": f"{reverse(f'otpmail_signin:{self.name}')}?of={tab.challenge_id}",
            "code_url": self._code_url(tab.challenge_id),
            "progress_url": f"{self._code_url(tab.challenge_id)}/progress",
        }

    def _code_url(self, challenge_id: UUID) -> str:
        return reverse(f"otpmail_signin:{self._code_name}", args=[challenge_id])

    def _to_code(self, challenge_id: UUID, said: str) -> HttpResponse:
        asked = f"?said={said}" if said else ""
        return HttpResponseRedirect(self._code_url(challenge_id) + asked)

    def _mail_line(self, tab: Tab, known: results.Status) -> sentences.Line:
        return sentences.of_mail(known.delivery, tab.address, if_known=self.hides)

    def _status(self, request: HttpRequest, tab: Tab) -> results.Status | None:
        known = challenges.status(self.purpose, tab.challenge_id, owner=self.owner(request))
        return known if isinstance(known, results.Status) else None

    def _ask_page(
        self, request: HttpRequest, address: str = "", error: str = "", status: int = 200
    ) -> HttpResponse:
        tab = tabs.find(request, request.GET.get("of", ""))
        given = request.POST.get("next", request.GET.get("next", tab.next if tab else ""))
        return show(
            request,
            self.name,
            status=status,
            action=reverse(f"otpmail_signin:{self.name}"),
            address=address,
            error=error,
            next=safe(request, given),
            signs_up=settings.SIGNIN_SIGN_UP,
        )


def _end(known: results.Status) -> ChallengeState:
    if known.state != ChallengeState.PENDING:
        return known.state
    return ChallengeState.EXPIRED if known.guesses_left else ChallengeState.EXHAUSTED
