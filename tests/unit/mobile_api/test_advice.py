import pytest

from mobile_api.advice import ADVICE, NOT_MADE, SLOW, advice
from otpmail.models import Reason
from otpmail.results import MailStatus, NextStep, Progress


def told(word, reason="", *, slow=False):
    return advice(Progress(status=word, reason=reason, next_step=NextStep.WAIT, slow=slow))


@pytest.mark.parametrize("word", MailStatus)
@pytest.mark.parametrize("reason", ["", *Reason])
def test_every_end_of_a_mail_is_put_into_words(word, reason):
    assert told(word, str(reason)).endswith(".")


def test_a_refused_address_is_to_be_checked():
    assert "Check it" in told(MailStatus.FAILED, "refused")
    assert len(set(ADVICE.values())) == len(ADVICE)


@pytest.mark.parametrize("word", [MailStatus.QUEUED, MailStatus.DELAYED])
def test_mail_that_cannot_be_made_is_not_waited_for(word):
    made = Progress(status=word, next_step=NextStep.ASK_AGAIN, slow=True)
    assert advice(made) == NOT_MADE


def test_slow_mail_is_called_slow():
    assert told(MailStatus.QUEUED, slow=True) == SLOW
