"""The one place to ask for a code: `issue`, `resend`, `verify`, `cancel`, `status`; all async too.

For several people of one transaction, `issue_many`; of all that an owner has at a time, `open` and
`cancel_all`; for a code that is typed a page before its step, `consume`. A person's mistake is a
result (``otpmail.results``), a fault an exception. `Client` is who asks, `Facts` what a
code stands for.

All else here is private: ``issuing`` makes a challenge, ``resending`` enqueues its mails,
``checking`` looks at what was typed, ``consuming`` keeps a right code for a following page,
``cancelling`` ends, ``queries`` says how things stand, with ``lookup`` of a challenge and
``mail_progress`` of its mail; ``asynchronous`` makes each call one for async views.

In: a purpose, an owner, who asks. Out: results.
Knows nothing of: HTTP, when a mail is sent.
"""

from otpmail.addresses.requester import Client
from otpmail.challenges.asynchronous import awaited
from otpmail.challenges.cancelling import cancel, cancel_all
from otpmail.challenges.checking import verify
from otpmail.challenges.consuming import consume
from otpmail.challenges.issuing import To, issue, issue_many
from otpmail.challenges.queries import open_ as open  # noqa: A004 - read as challenges.open
from otpmail.challenges.queries import status
from otpmail.challenges.resending import resend
from otpmail.crypto.transaction_data import Facts

__all__ = [
    "Client",
    "Facts",
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
aissue = awaited(issue)
aissue_many = awaited(issue_many)
aresend = awaited(resend)
averify = awaited(verify)
acancel = awaited(cancel)
acancel_all = awaited(cancel_all)
aconsume = awaited(consume)
aopen = awaited(open)
astatus = awaited(status)
