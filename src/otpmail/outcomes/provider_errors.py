"""What an HTTP API answered, out of what its client library raised, which is not imported for it.

In: an exception or a response of Anymail, ``requests`` or ``botocore``. Out: names; `ApiResponse`.
Knows nothing of: what an answer means for a mail.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

BODY_BYTES = 64 * 1024
"""Of a longer answer nothing but the status is read."""

WITHIN = ("Error", "errors", "Errors", "Messages", "data")
"""Where an API's error may lie: Amazon's, SendGrid's and SparkPost's, Mailjet's, Postal's."""

CALLED = ("ErrorCode", "Code", "reject_reason", "name", "code", "field")
"""What an API calls its own code of an error, or the field that it blames."""

MOST_WORDS = 1000
"""Characters read of what it says."""

MOST_SECONDS = 10**9
"""More is no time to wait, and no number of some digits more."""

NUMBERED = "ErrorCode"
"""Where a number is such a code, and not the status once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """An HTTP response, as far as it tells of a fault."""

    status: int
    reason: str | int = ""
    """The API's own code of the error: a word, or Postmark's numbers."""
    words: str = ""
    """All that it says."""
    retry_after_seconds: float | None = None


def names(error: BaseException) -> frozenset[str]:
    """Name every class of an error and of what caused it: ``requests.ConnectTimeout``."""
    return frozenset(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        for link in _chain(error)
        for kind in type(link).__mro__
    )


def response_of(response: Any) -> ApiResponse | None:
    """Read a response of ``requests``, or the dict that ``botocore`` makes of one."""
    if isinstance(response, Mapping):
        meta = response.get("ResponseMetadata", {})
        status, headers, body = meta.get("HTTPStatusCode"), meta.get("HTTPHeaders", {}), response
    else:
        status, headers = getattr(response, "status_code", None), getattr(response, "headers", {})
        body = _body(response)
    if not isinstance(status, int):
        return None
    return ApiResponse(
        status=status,
        reason=_reason(body),
        words=" ".join(_texts(body))[:MOST_WORDS],
        retry_after_seconds=_retry_after_seconds(headers),
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return iter(seen)


def _body(response: Any) -> Any:
    try:
        return response.json() if len(response.content) <= BODY_BYTES else None
    except (AttributeError, ValueError):  # no response at all, or no JSON in it
        return None


def _reason(body: Any) -> str | int:
    if isinstance(body, list):
        return _reason(body[0]) if body else ""
    if not isinstance(body, Mapping):
        return ""
    for place in WITHIN:
        if body.get(place):
            return _reason(body[place]) or _field(body[place])
    for name in CALLED:
        told = body.get(name)
        if isinstance(told, str) or (name == NUMBERED and isinstance(told, int)):
            return told
    return ""


def _field(errors: Any) -> str:
    """Name the first field that is blamed, where errors are keyed by it, as at MailerSend."""
    return str(next(iter(errors))) if isinstance(errors, Mapping) else ""


def _texts(body: Any, *, depth: int = 5) -> Iterator[str]:
    """Give the texts in a body, wherever they lie."""
    if isinstance(body, str):
        yield body
    elif depth and isinstance(body, Mapping | list):
        within = body if isinstance(body, list) else body.values()
        for one in within:
            yield from _texts(one, depth=depth - 1)


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110, 10.2.3)."""
    told = next((text for name, text in headers.items() if name.lower() == "retry-after"), "")
    if told.strip().isdecimal():
        return min(float(told), MOST_SECONDS)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
