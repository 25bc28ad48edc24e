"""Faults. A person's mistakes are no exceptions but results (``otpmail.results``)."""


class OtpmailError(Exception):
    """Any fault that otpmail raises itself."""


class InvalidRecipientError(OtpmailError, ValueError):
    """No mail can be sent to this: it is not one e-mail address. Its words do not repeat it."""


class InsideTransactionError(OtpmailError, RuntimeError):
    """`verify` was called inside a transaction, where a rollback would give the guess back."""
