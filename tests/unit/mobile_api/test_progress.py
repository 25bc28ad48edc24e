import pytest

from mobile_api.progress import ADVICE, advice
from otpmail.models import DeliveryState, Reason


@pytest.mark.parametrize("state", DeliveryState)
@pytest.mark.parametrize("reason", ["", *Reason])
def test_every_end_of_a_mail_is_put_into_words(state, reason):
    assert advice(state.value, str(reason)).endswith(".")


def test_a_refused_address_is_to_be_checked():
    assert "Check it" in advice("failed", "refused")
    assert len(set(ADVICE.values())) == len(ADVICE)
