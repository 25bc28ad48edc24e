"""Whether a mail is still valid is asked right before it is written; who cannot tell keeps it.

In: messages, their mails by place, and whom to ask. Out: whether to write a mail.
Knows nothing of: sessions, and when it is asked.
"""

from collections.abc import Callable, Mapping, Sequence

from django.core.mail import EmailMessage

from otpmail.outcomes import Blame, Kind, Outcome, named
from otpmail.smtp.errors import ends_process
from otpmail.smtp.mails import Mail


class ValidityCheck:
    """Asks of one call's mails. ``failed``: the outcomes of those of which asking raised."""

    def __init__(
        self,
        messages: Sequence[EmailMessage],
        mails: Mapping[int, Mail],
        still_valid: Callable[[EmailMessage], bool],
    ) -> None:
        self.failed: dict[int, Outcome] = {}
        self._messages = messages
        self._place_of = {id(mail): place for place, mail in mails.items()}
        self._still_valid = still_valid

    def __call__(self, mail: Mail) -> bool:
        """Tell whether to write it. The other mails are none the worse for what asking raises."""
        place = self._place_of[id(mail)]
        try:
            return self._still_valid(self._messages[place])
        except BaseException as error:
            if ends_process(error):
                raise
            self.failed[place] = Outcome(
                kind=Kind.TRANSIENT, reply=named(error), blame=Blame.CAPABILITY
            )  # of no route
            return False
