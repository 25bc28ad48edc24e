"""The one place to ask for a code: `issue`, `resend`, `verify`, `cancel`, `status`; all async too.

For several people of one deed, `issue_many`; of all that a subject has at a time, `open` and
`cancel_all`; for a code that is typed a page before its step, `consume`. A person's mistake is a
result (``otpmail.results``), a fault an exception.
"""

from asgiref.sync import sync_to_async

from otpmail.cancelling import cancel, cancel_all
from otpmail.checking import verify
from otpmail.holding import consume
from otpmail.issuing import To, issue, issue_many
from otpmail.resending import resend
from otpmail.telling import open_ as open  # noqa: A004 - read as challenges.open
from otpmail.telling import status

__all__ = [
    "To",
    "acancel",
    "acancel_all",
    "aconsume",
    "aissue",
    "aissue_many",
    "aopen",
    "aresend",
    "astatus",
    "averify",
    "cancel",
    "cancel_all",
    "consume",
    "issue",
    "issue_many",
    "open",
    "resend",
    "status",
    "verify",
]

# For async views: the same calls, in the thread that Django keeps for a request's database work.
aissue = sync_to_async(issue)
aissue_many = sync_to_async(issue_many)
aresend = sync_to_async(resend)
averify = sync_to_async(verify)
acancel = sync_to_async(cancel)
acancel_all = sync_to_async(cancel_all)
aconsume = sync_to_async(consume)
aopen = sync_to_async(open)
astatus = sync_to_async(status)
