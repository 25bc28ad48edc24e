"""Faults. A person's mistakes are no exceptions but results (``otpmail.results``)."""


class OtpmailError(Exception):
    """Any fault that otpmail raises itself."""


class PromiseNotKept(OtpmailError):
    """The database could not write the promise down: nothing was issued, nothing will be mailed."""


class InsideTransaction(OtpmailError):
    """`verify` was called inside a transaction, where a rollback would give the guess back."""
