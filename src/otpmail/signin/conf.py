"""The settings of the pages, as typed and checked as all others, and the name of their purpose.

In: ``OTPMAIL_SIGNIN_*`` of Django's settings. Out: typed attributes.
"""

from otpmail.conf import Settings, declare

SIGN_IN = "signin"
"""The purpose of the codes by which one signs in."""


class SigninSettings(Settings):
    """What a project may set. Nothing has to be."""

    SIGNIN_SITE_NAME: str = ""
    """What the pages and mails call the site. Empty: pages show its host, mails nothing."""

    SIGNIN_CLIENT: str = ""
    """Dotted path of ``client(request)``, which gives the ``otpmail.challenges.Client`` who asks,
    so that one client cannot ask for ever. Empty: a client is known by its device alone.
    """


declare(SigninSettings)
settings = SigninSettings()
