"""Faults. A person's mistakes are no exceptions but results (``otpmail.results``).

``foreign`` is what is raised by code that is not ours.
"""


class OtpmailError(Exception):
    """Any fault that otpmail raises itself."""


class InvalidRecipientError(OtpmailError, ValueError):
    """No mail can be sent to this: it is not one e-mail address. Its words do not repeat it."""


class UnstorableMailError(OtpmailError, TypeError):
    """A mail given to the outbox's backend holds something that cannot be kept in a row."""


class InsideTransactionError(OtpmailError, RuntimeError):
    """`verify` was called inside a transaction, whose rollback would give the guess back.

    Or would undo what the code confirmed, though the code is used up.
    """


class RolledBackError(OtpmailError, RuntimeError):
    """What ``confirmed`` or a receiver of ``challenge_ended`` did took the whole transaction back.

    It swallowed a database's error, or called ``set_rollback``: a commit would keep nothing of it,
    the challenge's end neither. Let the error out, or do what may fail in an ``atomic`` of its own.
    """


class NotHereError(OtpmailError, RuntimeError):
    """This process cannot do it now; another may, or the same one later. Nothing was lost by it.

    It lacks a key, a template or a setting, or its key service is away. Whoever holds work gives
    it back untouched; whoever asked may ask again.
    """
