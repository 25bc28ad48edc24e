"""Whose an address is, and by which backend they are signed in.

In: an address. Out: a user of the project's model, whichever that is.
Knows nothing of: codes, requests.

Addresses are alike to the letter, or in ASCII but for capitals. Databases go further: some hold a
dotless i to be an i, and whoever has one mailbox would sign in as the other's owner.
"""

import secrets
from collections.abc import Iterator
from typing import Any

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


def find(address: str) -> AbstractBaseUser | None:
    """Find the active user whose address it is: spelt so, else the oldest who has it."""
    for pk, _ in _alike(address, **_active()):
        return get_user_model()._default_manager.filter(pk=pk).first()  # noqa: SLF001
    return None


def known_as(address: str) -> str | None:
    """Give the address of an active user as a code is mailed to it; None if it is nobody's.

    One statement, and no more work for who is known than it takes to tell.
    """
    return next((known for _, known in _alike(address, **_active())), None)


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
        with transaction.atomic(using=router.db_for_write(get_user_model())):
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
    return any(but is None or pk != but.pk for pk, _ in _alike(address))


def _alike(address: str, **whose: object) -> list[tuple[Any, str]]:
    """Give the keys and addresses of those who have it, the one to take first."""
    wanted = _canonical(address)
    spelt = Q()
    for spelling in _spellings(wanted):
        spelt |= Q(**{f"{email_field()}__iexact": spelling})
    if not spelt:
        return []
    rows = get_user_model()._default_manager.filter(spelt, **whose).order_by("pk")  # noqa: SLF001
    known = [(pk, _canonical(written)) for pk, written in rows.values_list("pk", email_field())]
    alike = [row for row in known if _folded(row[1]) == _folded(wanted)]
    return sorted(alike, key=lambda row: row[1] != wanted)


def _canonical(address: str) -> str:
    """Give an address in its one form; empty if no mail can be sent to it."""
    try:
        return addresses.canonical(address)
    except ValueError:
        return ""


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
    if not canonical:
        return
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
