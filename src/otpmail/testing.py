"""For a project's own tests: the code that a person would read in the mail.

With ``OTPMAIL_ENGINE = "otpmail.engines.immediate.ImmediateEngine"`` the mail is in Django's
``mail.outbox`` once the transaction is committed (``captureOnCommitCallbacks`` in a ``TestCase``).
"""

from uuid import UUID

from otpmail.crypto.challenge_codes import code_of
from otpmail.models import Challenge


def live_code(challenge_id: UUID) -> str | None:
    """Derive a challenge's code; None when it has ended."""
    return code_of(Challenge.objects.get(pk=challenge_id))
