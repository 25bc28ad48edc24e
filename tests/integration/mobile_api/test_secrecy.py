"""A fault while a code is typed tells nobody the code, and one at sign-in nobody the PIN."""

import pytest
from django.core import mail
from django.views.debug import ExceptionReporter

pytestmark = pytest.mark.django_db(transaction=True)


def shown(record):
    """What ADMINS are mailed and an error tracker reads of a fault: each frame's variables."""
    frames = ExceptionReporter(None, *record.exc_info).get_traceback_data()["frames"]
    return [(frame["filename"], *variable) for frame in frames for variable in frame["vars"]]


@pytest.fixture
def typed(alice, bob, settings):
    """Type a right code, of ten digits, when what it stands for cannot be read any more."""
    settings.OTPMAIL_DIGITS = 10
    transfer = alice.transfer(bob)
    code = mail.outbox[-1].body.split()[0]
    settings.OTPMAIL_PURPOSES = {"transfer": {"FACTS": "tests.orders.broken"}}
    path = f"transfers/{transfer['id']}/confirm"
    return lambda: (code, alice.post(path, {"code": code}, status=500, key="k"))


@pytest.mark.parametrize("debug", [True, False])
def test_no_code_in_the_words_of_a_fault(typed, caplog, settings, debug):
    settings.DEBUG = debug
    code, problem = typed()
    assert code not in str(problem)
    assert "the orders cannot be read" in caplog.text
    assert code not in caplog.text


def test_no_code_in_the_variables_of_a_fault(typed, caplog):
    code, _ = typed()
    (fault,) = [record for record in caplog.records if record.exc_info]
    assert "typed" in {name for _, name, _ in shown(fault)}
    assert [variable for variable in shown(fault) if code in variable[-1]] == []


def test_no_pin_in_the_variables_of_a_fault(alice, caplog, settings):
    settings.PASSWORD_HASHERS = ["tests.nowhere.Hasher"]
    wish = {"member_number": "1001", "pin": "97531"}
    alice.post("sign-in", wish, status=500)
    (fault,) = [record for record in caplog.records if record.exc_info]
    assert "pin" in {name for _, name, _ in shown(fault)}
    shows = {filename for filename, _, value in shown(fault) if "97531" in value}
    assert {filename for filename in shows if "/django/" not in filename} == set()
