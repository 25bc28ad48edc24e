"""A transaction that a code is bound to, as small as can be: the tests change it."""

from otpmail.crypto.transaction_data import Facts
from otpmail.models import Challenge

ORDER: dict[str, str | int] = {}


def place() -> Facts:
    """Place a new order."""
    ORDER.clear()
    ORDER.update(amount_minor=12_50, currency="EUR", payee="acc-7")
    return dict(ORDER)


def facts(challenge: Challenge, *, lock: bool) -> Facts | None:
    """Read the order as it stands; None when it is gone."""
    return dict(ORDER) or None


def broken(challenge: Challenge, *, lock: bool) -> Facts | None:
    """Fail."""
    raise RuntimeError("the orders cannot be read")
