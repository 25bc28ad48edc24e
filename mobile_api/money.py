"""Money is whole minor units beside an ISO 4217 code, and is written for people here alone.

Knows nothing of: accounts, rows.
"""

MINOR_DIGITS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Digits after the point (ISO 4217) of the currencies that do not have two."""


def is_large(amount_minor: int, currency: str, *, major: int) -> bool:
    """Tell whether an amount is so many major units or more."""
    minor: int = 10 ** MINOR_DIGITS.get(currency, 2)
    return amount_minor >= major * minor


def written(amount_minor: int, currency: str) -> str:
    """Write an amount: ``1250`` of ``EUR`` is ``12.50 EUR``."""
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}{f'.{rest:0{digits}d}' if digits else ''} {currency}"
