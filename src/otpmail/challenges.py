"""The one place to ask for a code: `issue`, `resend`, `verify`, `cancel`, `status`; all async too.

And of all that a subject has at a time, `open` and `cancel_all`. A person's mistake is a result
(``otpmail.results``), a fault an exception.
"""

from asgiref.sync import sync_to_async

from otpmail.checking import cancel, cancel_all, status, verify
from otpmail.checking import open_ as open  # noqa: A004 - read as challenges.open
from otpmail.issuing import issue
from otpmail.resending import resend

__all__ = [
    "acancel",
    "acancel_all",
    "aissue",
    "aopen",
    "aresend",
    "astatus",
    "averify",
    "cancel",
    "cancel_all",
    "issue",
    "open",
    "resend",
    "status",
    "verify",
]

# For async views: the same calls, in the thread that Django keeps for a request's database work.
aissue = sync_to_async(issue)
aresend = sync_to_async(resend)
averify = sync_to_async(verify)
acancel = sync_to_async(cancel)
acancel_all = sync_to_async(cancel_all)
aopen = sync_to_async(open)
astatus = sync_to_async(status)
