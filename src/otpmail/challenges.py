"""The one place to ask for a code: `issue`, `resend`, `verify`, `cancel`, `status`; all async too.

A person's mistake is a result (``otpmail.results``), a fault an exception.
"""

from asgiref.sync import sync_to_async

from otpmail.checking import cancel, status, verify
from otpmail.issuing import issue, resend

__all__ = [
    "acancel",
    "aissue",
    "aresend",
    "astatus",
    "averify",
    "cancel",
    "issue",
    "resend",
    "status",
    "verify",
]

# For async views: the same calls, in the thread that Django keeps for a request's database work.
aissue = sync_to_async(issue)
aresend = sync_to_async(resend)
averify = sync_to_async(verify)
acancel = sync_to_async(cancel)
astatus = sync_to_async(status)
