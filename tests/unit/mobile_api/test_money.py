import pytest

from mobile_api.money import written


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (1250, "EUR", "12.50 EUR"),
        (5, "EUR", "0.05 EUR"),
        (1250, "JPY", "1250 JPY"),
        (1250, "KWD", "1.250 KWD"),
        (-1250, "EUR", "-12.50 EUR"),
        (999_999_999_999, "EUR", "9999999999.99 EUR"),
    ],
)
def test_an_amount_is_written_with_its_currencys_digits(amount_minor, currency, text):
    assert written(amount_minor, currency) == text
