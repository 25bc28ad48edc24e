"""The pages as a Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SigninConfig(AppConfig):
    """Brings its purpose's settings, and registers its checks."""

    name = "otpmail.signin"
    label = "otpmail_signin"
    verbose_name = _("Sign in by code")

    def ready(self) -> None:
        """Bring what the pages ask otpmail with."""
        from otpmail import conf
        from otpmail.signin import checks  # noqa: F401 - registers the checks
        from otpmail.signin.conf import SIGN_IN

        conf.bring(SIGN_IN, BEFORE_SIGN_IN=True)
