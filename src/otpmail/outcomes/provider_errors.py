"""What an HTTP API answered, out of what its client library raised, which is not imported for it.

In: an exception, or a response, of Anymail, ``requests`` or ``botocore``. Out: names, an `Answer`.
Knows nothing of: what an answer means for a mail.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

BODY_BYTES = 64 * 1024
"""Of a longer answer nothing but the status is read."""

WITHIN = ("Error", "errors", "Errors", "Messages")
"""Where an API's error may lie: Amazon's, SendGrid's and SparkPost's, Mailjet's."""

CALLED = ("ErrorCode", "Code", "name", "code", "field")
"""What an API calls its own code of an error, or the field that it blames."""

NUMBERED = "ErrorCode"
"""Where a number is such a code, and not the status once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response, as far as it tells of a fault."""

    status: int
    reason: str | int = ""
    """The API's own code of the error: a word, or Postmark's numbers."""
    retry_after_seconds: float | None = None


def names(error: BaseException) -> frozenset[str]:
    """Name every class of an error and of what caused it: ``requests.ConnectTimeout``."""
    return frozenset(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        for link in _chain(error)
        for kind in type(link).__mro__
    )


def answer_of(response: Any) -> Answer | None:
    """Read a response of ``requests``, or the dict that ``botocore`` makes of one."""
    if isinstance(response, Mapping):
        meta = response.get("ResponseMetadata", {})
        status, headers, body = meta.get("HTTPStatusCode"), meta.get("HTTPHeaders", {}), response
    else:
        status, headers = getattr(response, "status_code", None), getattr(response, "headers", {})
        body = _body(response)
    if not isinstance(status, int):
        return None
    return Answer(
        status=status, reason=_reason(body), retry_after_seconds=_retry_after_seconds(headers)
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
        if place in body:
            return _reason(body[place])
    for name in CALLED:
        told = body.get(name)
        if isinstance(told, str) or (name == NUMBERED and isinstance(told, int)):
            return told
    return ""


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110, 10.2.3)."""
    told = next((text for name, text in headers.items() if name.lower() == "retry-after"), "")
    if told.strip().isdecimal():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
