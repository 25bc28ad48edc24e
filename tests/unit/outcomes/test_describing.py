"""What may be told of an error."""

import pytest
from django.db import DataError, OperationalError

from otpmail.exceptions import NotHereError
from otpmail.outcomes.describing import describe


def caused(kind, *args):
    error = kind(*args)
    error.__cause__ = type("Driver", (Exception,), {})(*args)
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("alice@example.org 123456"), "ValueError"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (NotHereError("no key k"), "NotHereError: no key k"),
        (
            OperationalError("connection failed\nDETAIL: Failing row contains (123456)"),
            "OperationalError: connection failed",
        ),
        (
            caused(OperationalError, 2002, "Can't connect to server on 'db.example' (115)"),
            "OperationalError: (2002, \"Can't connect to server on 'db.example' (115)\") "
            "errno=2002",
        ),
        (
            caused(OperationalError, 1366, "Incorrect string value: 'it's 123456' for column x"),
            "OperationalError errno=1366",
        ),
        (caused(DataError, 1406, "Data too long for '123456'"), "DataError errno=1406"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_only_words_that_can_quote_nothing_are_told(error, told):
    assert describe(error) == told
