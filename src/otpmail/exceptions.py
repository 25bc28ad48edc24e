"""Faults. A person's mistakes are no exceptions but results (``otpmail.results``)."""


class OtpmailError(Exception):
    """Any fault that otpmail raises itself."""


class InvalidRecipientError(OtpmailError, ValueError):
    """No mail can be sent to this: it is not one e-mail address. Its words do not repeat it."""


class UnstorableMailError(OtpmailError, TypeError):
    """A mail given to the outbox's backend holds something that cannot be kept in a row."""


class InsideTransactionError(OtpmailError, RuntimeError):
    """`verify` was called inside a transaction, where a rollback would give the guess back."""


class NotHereError(OtpmailError, RuntimeError):
    """This process cannot do it now, and another may: it lacks a key, a template, a setting.

    It says nothing of the mail, and counts as none of its attempts.
    """
