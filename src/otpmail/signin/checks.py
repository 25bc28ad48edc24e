"""What a project lacks for the pages, said when it starts, each with an id and a remedy.

In: the project's settings, URLs, templates and user model. Out: Django's check messages.
Knows nothing of: requests.
"""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.core.exceptions import FieldDoesNotExist
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.module_loading import import_string

from otpmail.checks import linked
from otpmail.signin import users
from otpmail.signin.conf import settings

APPS = ("django.contrib.auth", "django.contrib.sessions")
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)


@register()
@linked
def check_signin(**_: Any) -> Iterable[CheckMessage]:
    """Look at all that the pages need, if they are installed."""
    if not apps.is_installed("otpmail.signin"):
        return []
    if lacking := [*_apps()]:
        return lacking
    rules = (
        *(_middleware, _templates, _styles, _address),
        *(_functions, _makes_users, _urls, _login_url),
    )
    return [message for rule in rules for message in rule()]


def _apps() -> Iterable[CheckMessage]:
    """E034: an app that signing in needs is not installed."""
    for name in ("otpmail", *APPS):
        if not apps.is_installed(name):
            yield Error(
                f"otpmail.signin needs {name!r}, which is not in INSTALLED_APPS.",
                hint=f"INSTALLED_APPS += [{name!r}], then: manage.py migrate",
                id="otpmail.E034",
            )


def _middleware() -> Iterable[CheckMessage]:
    """E035: a middleware that signing in needs is missing."""
    present = [import_string(path) for path in django_settings.MIDDLEWARE]
    for path in MIDDLEWARE:
        wanted = import_string(path)
        if not any(isinstance(one, type) and issubclass(one, wanted) for one in present):
            yield Error(
                f"otpmail.signin needs {path!r}, which is not in MIDDLEWARE.",
                hint=f"Add {path!r} to MIDDLEWARE, sessions before authentication.",
                id="otpmail.E035",
            )


def _templates() -> Iterable[CheckMessage]:
    """E036: the pages' templates are not found."""
    try:
        get_template("otpmail/signin/ask.html")
    except TemplateDoesNotExist:
        yield Error(
            "The templates of otpmail.signin are not found.",
            hint="Let TEMPLATES find them: APP_DIRS True, or the loader app_directories.Loader.",
            id="otpmail.E036",
        )


def _styles() -> Iterable[CheckMessage]:
    """W015: nothing serves the pages' stylesheet."""
    if not apps.is_installed("django.contrib.staticfiles"):
        yield Warning(
            "The stylesheet of otpmail.signin is a static file, and "
            "'django.contrib.staticfiles' is not in INSTALLED_APPS: the pages would be bare.",
            hint="INSTALLED_APPS += ['django.contrib.staticfiles']; STATIC_URL = 'static/'",
            id="otpmail.W015",
        )


def _address() -> Iterable[CheckMessage]:
    """E037: users have no address."""
    model, field = apps.get_model(django_settings.AUTH_USER_MODEL), users.email_field()
    try:
        model._meta.get_field(field)
    except FieldDoesNotExist:
        yield Error(
            f"{django_settings.AUTH_USER_MODEL} has no field {field!r}, so nobody can sign in.",
            hint="Set EMAIL_FIELD in the class to the name of the field of the address.",
            id="otpmail.E037",
        )


def _functions() -> Iterable[CheckMessage]:
    """E038: a function that a setting names cannot be imported."""
    for name in ("SIGNIN_CLIENT", "SIGNIN_MAKE_USER"):
        path = getattr(settings, name)
        try:
            told = import_string(path) if path else callable
        except ImportError:
            told = None
        if not callable(told):
            yield Error(
                f"OTPMAIL_{name} {path!r} is no function.",
                hint="Set it to the dotted path of a function, or remove it.",
                id="otpmail.E038",
            )


def _makes_users() -> Iterable[CheckMessage]:
    """E039: a user cannot be made of an address alone."""
    model = get_user_model()
    needed = [name for name in model.REQUIRED_FIELDS if name != users.email_field()]
    if settings.SIGNIN_SIGN_UP and needed and not settings.SIGNIN_MAKE_USER:
        yield Error(
            f"OTPMAIL_SIGNIN_SIGN_UP is set, and a user needs more than an address: {needed}.",
            hint="Set OTPMAIL_SIGNIN_MAKE_USER to the dotted path of make(address).",
            id="otpmail.E039",
        )


def _urls() -> Iterable[CheckMessage]:
    """W016: the pages are not among the URLs."""
    try:
        reverse("otpmail_signin:ask")
    except NoReverseMatch:
        yield Warning(
            "The pages of otpmail.signin are not among the URLs.",
            hint='urlpatterns += [path("sign-in/", include("otpmail.signin.urls"))]',
            id="otpmail.W016",
        )


def _login_url() -> Iterable[CheckMessage]:
    """W017: ``LOGIN_URL`` leads nowhere, so a page for members only would answer 404."""
    try:
        resolve(resolve_url(django_settings.LOGIN_URL).partition("?")[0])
    except (Resolver404, NoReverseMatch):
        yield Warning(
            f"LOGIN_URL {django_settings.LOGIN_URL!r} leads nowhere: who is not signed in would "
            "meet an error.",
            hint='LOGIN_URL = "otpmail_signin:ask"',
            id="otpmail.W017",
        )
