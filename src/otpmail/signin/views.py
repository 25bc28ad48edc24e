"""The views: `ask` and `code` sign somebody in, `prove` and `prove_code` change their address.

In: requests. Out: pages; a user who is signed in, in a session whose key is new; a proven address.
Knows nothing of: how a code is made, mailed or compared.
"""

from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.views.decorators.debug import sensitive_post_parameters

from otpmail import challenges, sessions
from otpmail.models import Challenge
from otpmail.signin import signals, tabs, users
from otpmail.signin.conf import PROVE, SIGN_IN, settings
from otpmail.signin.pages import Pages, Recipient, page, safe, show
from otpmail.signin.tabs import Tab


class SignIn(Pages):
    """Whoever reads a member's mail is signed in as that member."""

    purpose = SIGN_IN
    name = "ask"

    @property
    def hides(self) -> bool:
        """Tell nobody who is known; where everybody may sign up, each address is mailed to."""
        return not settings.SIGNIN_SIGN_UP

    def owner(self, request: HttpRequest) -> str:
        """Give the browser's own."""
        return sessions.owner(request)

    def to(self, address: str) -> Recipient:
        """Give the address as it is known, or one to which nothing is mailed."""
        known = users.known_as(address)
        decoy = known is None and self.hides
        return Recipient(address=known or users.mailable(address), decoy=decoy)

    def confirm(self, request: HttpRequest, challenge: Challenge) -> AbstractBaseUser | None:
        """Find whose the address is, or make a user for it."""
        user = users.find(challenge.recipient)
        if user or not settings.SIGNIN_SIGN_UP:
            return user
        made = users.make(challenge.recipient)
        if made is None:  # another browser was first
            return users.find(challenge.recipient)
        signals.signed_up.send(get_user_model(), request=request, user=made)
        return made

    def done(self, request: HttpRequest, tab: Tab, confirmed: object) -> HttpResponse:
        """Sign them in, and lead them where they wanted to go."""
        tabs.forget(request)
        challenges.cancel_all(owner=self.owner(request), purpose=self.purpose)
        user = confirmed if isinstance(confirmed, AbstractBaseUser) else None
        backend = users.backend_of(user) if user else None
        if user is None or backend is None:  # it was taken from them since
            return show(request, "refused", status=403)
        login(request, user, backend)  # type: ignore[arg-type]  # a user of any model
        following = safe(request, tab.next)
        return HttpResponseRedirect(following or resolve_url(django_settings.LOGIN_REDIRECT_URL))


class Prove(Pages):
    """Somebody who is signed in shows that a new address is theirs."""

    purpose = PROVE
    name = "prove"
    hides = False

    def owner(self, request: HttpRequest) -> str:
        """Give the user's own."""
        return str(request.user.pk)

    def to(self, address: str) -> Recipient:
        """Give the address as it was typed."""
        return Recipient(address=address)

    def confirm(self, request: HttpRequest, challenge: Challenge) -> str | None:
        """Give them the address, unless it is somebody else's."""
        user, address = request.user, challenge.recipient
        if not isinstance(user, AbstractBaseUser):
            return None
        told = {"request": request, "user": user, "before": getattr(user, users.email_field())}
        if not users.change(user, address):
            return None
        signals.address_proven.send(get_user_model(), address=address, **told)
        return address

    def done(self, request: HttpRequest, tab: Tab, confirmed: object) -> HttpResponse:
        """Say which address is theirs now, or lead them where they wanted to go."""
        tabs.forget(request)
        challenges.cancel_all(owner=self.owner(request), purpose=self.purpose)
        if confirmed is None:
            return show(request, "taken", status=409, address=tab.address)
        if following := safe(request, tab.next):
            return HttpResponseRedirect(following)
        return show(request, "proven", address=confirmed)


sign_in, proving = SignIn(), Prove()


@page
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for the address, and mail a code to it if it is known."""
    return sign_in.ask(request)


@sensitive_post_parameters("code")
@page
def code(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Take the code by which one signs in."""
    return sign_in.code(request, challenge_id)


@page
def progress(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Tell whether mail is slow."""
    return sign_in.progress(request, challenge_id)


@page
@login_required
def prove(request: HttpRequest) -> HttpResponse:
    """Ask for a new address, and mail a code to it."""
    return proving.ask(request)


@sensitive_post_parameters("code")
@page
@login_required
def prove_code(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Take the code that proves the new address."""
    return proving.code(request, challenge_id)


@page
@login_required
def prove_progress(request: HttpRequest, challenge_id: UUID) -> HttpResponse:
    """Tell how the mail to the new address stands."""
    return proving.progress(request, challenge_id)
