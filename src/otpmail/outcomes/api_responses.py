"""What an HTTP API's response means for a mail.

1. The API's own name of the error, where it is known to say more than the status.
2. Under 400 and 422, which most say of all that was asked: the field that is blamed, then words.
3. The status.

In: an `ApiResponse`, or None. Out: a `Classification`. Knows nothing of: exceptions, responses.

Sources: the APIs' references of Amazon (SES, "Common Error Types"), botocore's
``retries/standard.py``, Postmark, Mailjet, Brevo, Resend, SendGrid, SparkPost, MailerSend, Mailgun,
Mailtrap, Mandrill and Postal. Read in 2026.
"""

import re
from dataclasses import dataclass

from otpmail.outcomes import wordings
from otpmail.outcomes.findings import CAPABILITY, MAIL, ROUTE, SENDER, Blame, Finding, Kind
from otpmail.outcomes.provider_errors import ApiResponse

OF_THE_MAIL = frozenset({400, 422})
"""HTTP statuses that speak of this mail, unless what they say is of something else."""

CONTENT_TOO_LARGE = 413
"""The HTTP status for it (RFC 9110, 15.5.14)."""

NOT_SIGNED_IN = frozenset({401, 403})
"""HTTP statuses of a key that is not known or not allowed to."""

PASSING = frozenset({408, 420, 425, 429})
"""HTTP statuses that pass, as all of 5xx do. SparkPost says 420 of its limits."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What an response means."""

    kind: Kind
    finding: Finding
    is_lasting: bool = False


_REFUSED = Classification(Kind.PERMANENT, MAIL)
_OF_THE_ROUTE = Classification(Kind.PERMANENT, ROUTE)
_OF_THE_SENDER = Classification(Kind.PERMANENT, SENDER)
_NOT_LET_IN = Classification(Kind.PERMANENT, ROUTE, is_lasting=True)
_PASSES = Classification(Kind.TRANSIENT, ROUTE)

NAMED: dict[str | int, Classification] = {
    406: _REFUSED,  # Postmark: inactive, after a bounce or "a spam complaint"
    **dict.fromkeys(
        [
            # Amazon SES, with 400
            "AccountSuspendedException",
            "LimitExceededException",
            "SendingPausedException",
            # Postmark, with 422: no credit, account not approved, no such stream
            *(405, 412, 413, 1235),
            "account_under_validation",  # Brevo, with 400
            "template_id",  # SendGrid, with 400
            "PaymentRequired",  # Mandrill, with 500
            "Unknown_Template",
            "Unknown_Subaccount",
            "test-mode-limit",  # Mandrill, with 200
        ],
        _OF_THE_ROUTE,
    ),
    **dict.fromkeys(
        [
            "MailFromDomainNotVerifiedException",  # Amazon SES
            *(400, 401),  # Postmark: no such sender, not confirmed
            "send-0008",  # Mailjet, with 400: no such sender
            "invalid_from_address",  # Resend, with 422
            "from",  # SendGrid, with 400
            "from.email",  # and MailerSend, with 422
            "7001",  # SparkPost, with 400: no such sending domain
            "unsigned",  # Mandrill, with 200
            "invalid-sender",
            "UnauthenticatedFromAddress",  # Postal, with 200
        ],
        _OF_THE_SENDER,
    ),
    **dict.fromkeys(
        [
            # Amazon, with 400 or 403
            *("AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired"),
            *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidClientTokenId"),
            *("IncompleteSignature", "IncompleteSignatureException", "RequestExpired"),
            *("InvalidSignatureException", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
            *("MissingAuthenticationToken", "MissingAuthenticationTokenException"),
            *("UnrecognizedClientException", "AuthFailure"),
            *(
                "invalid_access",
                "invalid_api_key",
                "missing_api_key",
                "restricted_api_key",
            ),  # Resend
            "Invalid_Key",  # Mandrill, with 500
        ],
        _NOT_LET_IN,
    ),
    **dict.fromkeys(
        [
            # Amazon, with 400
            *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
            *("RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded"),
            *("BandwidthLimitExceeded", "PriorRequestNotComplete", "SlowDown"),
            *("RequestTimeout", "RequestTimeoutException", "InternalFailure"),
            *("ServiceUnavailable", "ServiceUnavailableException"),
        ],
        _PASSES,
    ),
}
"""What an API calls a fault of sender, account or key, under a status that says otherwise."""

TO = re.compile(r"(?:^|\.)(?:to|cc|bcc|recipients?)(?:\.|$)", re.IGNORECASE)
"""A field that names the recipient."""


def classify(response: ApiResponse | None, *, refused: bool) -> Classification:
    """Tell what an response means. ``refused``: the client says that it was of the recipient."""
    if response and response.reason in NAMED:
        return NAMED[response.reason]
    if response and response.status in OF_THE_MAIL and not refused:
        return _by_words(response)
    if refused:
        return _REFUSED
    if response is None or response.status < 300:  # noqa: PLR2004 - answered, in words not understood
        return Classification(Kind.UNKNOWN, ROUTE)
    if response.status == CONTENT_TOO_LARGE:
        return Classification(Kind.PERMANENT, CAPABILITY)
    passes = response.status in PASSING or response.status >= 500  # noqa: PLR2004
    if passes:
        return _PASSES
    return _NOT_LET_IN if response.status in NOT_SIGNED_IN else _OF_THE_ROUTE


def _by_words(response: ApiResponse) -> Classification:
    if TO.search(str(response.reason)):
        return _REFUSED
    found = wordings.of_api(response.words) or MAIL
    passes = found.blame is Blame.ROUTE and wordings.LATER.search(response.words)
    return Classification(Kind.TRANSIENT if passes else Kind.PERMANENT, found)
