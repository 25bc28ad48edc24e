"""Whose an address is, and by which backend they are signed in.

In: an address. Out: a user of the project's model, whichever that is.
Knows nothing of: codes, requests.

Addresses are alike to the letter, or in ASCII but for capitals. Databases go further: some hold a
dotless i to be an i, and whoever has one mailbox would sign in as the other's owner.
"""

import secrets
from collections.abc import Iterator

import idna
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, router, transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from otpmail import addresses
from otpmail.limits import lockout
from otpmail.signin.conf import settings


def find(address: str, **whose: object) -> AbstractBaseUser | None:
    """Find the active user whose address it is: spelt so, else the oldest who has it.

    One statement, whoever is found and whether anybody is. ``whose`` is asked instead of active.
    """
    try:
        wanted = addresses.canonical(address)
    except ValueError:
        return None
    model, field = get_user_model(), email_field()
    spelt = Q()
    for spelling in _spellings(wanted):
        spelt |= Q(**{f"{field}__iexact": spelling})
    rows = model._default_manager.filter(spelt, **(whose or _active())).order_by("pk")  # noqa: SLF001
    alike = [user for user in rows if _folded(address_of(user)) == _folded(wanted)]
    return next((user for user in alike if address_of(user) == wanted), next(iter(alike), None))


def address_of(user: AbstractBaseUser) -> str:
    """Give a user's address in its one form; empty if they have none that mail can be sent to."""
    try:
        return addresses.canonical(getattr(user, email_field()))
    except ValueError:
        return ""


def mailable(address: str) -> str:
    """Give the form in which an address is asked for that is nobody's.

    Capitals make no difference to one that is known, so they make none here.
    """
    return _folded(address)


def make(address: str) -> AbstractBaseUser | None:
    """Make a user who has this address, in the caller's transaction; None if somebody has it.

    That may be somebody who is not active any more, and is to stay so.
    """
    lockout.lock(f"sign-up {mailable(address)}")  # of two who sign up at once the second waits
    if _is_taken(address):
        return None
    try:
        with transaction.atomic(using=router.db_for_write(get_user_model())):
            return _make(address)
    except IntegrityError:
        return None


def change(user: AbstractBaseUser, address: str) -> bool:
    """Give a user another address, in the caller's transaction; not one that somebody has."""
    lockout.lock(f"sign-up {mailable(address)}")
    if _is_taken(address, but=user):
        return False
    setattr(user, email_field(), address)
    try:
        with transaction.atomic(using=router.db_for_write(type(user))):
            user.save(update_fields=[email_field()])
    except IntegrityError:
        user.refresh_from_db()
        return False
    return True


def backend_of(user: AbstractBaseUser) -> str | None:
    """Name the first backend that lets them be signed in, as it would at each later request."""
    for path in django_settings.AUTHENTICATION_BACKENDS:
        get_user = getattr(load_backend(path), "get_user", None)
        if get_user is not None and get_user(user.pk) is not None:
            return path
    return None


def email_field() -> str:
    """Name the field of the address (``EMAIL_FIELD``)."""
    return get_user_model().get_email_field_name()


def _is_taken(address: str, but: AbstractBaseUser | None = None) -> bool:
    """Tell whether somebody has it, active or not."""
    found = find(address, pk__isnull=False)
    return found is not None and found != but


def _make(address: str) -> AbstractBaseUser:
    if settings.SIGNIN_MAKE_USER:
        made: AbstractBaseUser = import_string(settings.SIGNIN_MAKE_USER)(address)
        return made
    model = get_user_model()
    named = {model.USERNAME_FIELD: f"user-{secrets.token_hex(8)}"} | {email_field(): address}
    user = model(**named)
    user.set_unusable_password()
    user.save()
    return user


def _spellings(canonical: str) -> Iterator[str]:
    """Give the forms in which a project may have written it down."""
    yield canonical
    local, _, domain = canonical.rpartition("@")
    if "xn--" in domain:
        yield f"{local}@{idna.decode(domain)}"


def _active() -> dict[str, bool]:
    try:
        get_user_model()._meta.get_field("is_active")
    except FieldDoesNotExist:
        return {}
    return {"is_active": True}


def _folded(address: str) -> str:
    return address.lower() if address.isascii() else address
