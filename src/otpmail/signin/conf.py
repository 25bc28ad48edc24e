"""The settings of the pages, as typed and checked as all others, and the names of their purposes.

In: ``OTPMAIL_SIGNIN_*`` of Django's settings. Out: typed attributes.
"""

from otpmail.conf import Settings, declare

SIGN_IN = "signin"
"""The purpose of the codes by which one signs in."""

PROVE = "signin-address"
"""The purpose of those by which somebody who is signed in proves a new address."""


class SigninSettings(Settings):
    """What a project may set. Nothing has to be."""

    SIGNIN_SITE_NAME: str = ""
    """What the pages and mails call the site. Empty: pages show its host, mails nothing."""

    SIGNIN_SIGN_UP: bool = False
    """Whether who proves an address that nobody has becomes a user."""

    SIGNIN_MAKE_USER: str = ""
    """Dotted path of ``make(address)``, which gives a saved user for whoever signs up. Empty: one
    with the address, no password and, where the model has another ``USERNAME_FIELD``, a random
    name.
    """

    SIGNIN_CLIENT: str = ""
    """Dotted path of ``client(request)``, which gives the ``otpmail.challenges.Client`` who asks,
    so that one client cannot ask for ever. Empty: a client is known by its device alone.
    """


declare(SigninSettings)
settings = SigninSettings()
