"""otpmail as a Django app."""

import contextlib
from importlib.util import find_spec

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started
from django.utils.module_loading import import_string


class OtpmailConfig(AppConfig):
    """Registers the checks; the first request of a process starts its engine."""

    name = "otpmail"
    verbose_name = "One-time codes by e-mail"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what needs the models."""
        from otpmail import checks  # noqa: F401 - registers the checks
        from otpmail.conf import settings

        with contextlib.suppress(ImportError, ImproperlyConfigured):  # a check says so
            import_string(settings.ENGINE)  # a broker's worker knows its task by this
        if find_spec("anymail"):
            from otpmail.events import webhooks  # noqa: F401 - hears providers' events

        request_started.connect(_start_engine, dispatch_uid="otpmail.engine")


def _start_engine(**_: object) -> None:
    # What a dead process left is taken up with the first request, not with the first new code.
    from otpmail import engines

    engines.current().start()
