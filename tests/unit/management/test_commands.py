"""Commands that need no database."""

import pytest
from django.core.management import CommandError, call_command

from otpmail.crypto import keys


def test_a_made_key_stands_in_the_ring_as_it_is_printed(capsys, caplog, settings):
    call_command("otpmail_key", id="2026-11")
    key_id, _, value = capsys.readouterr().out.strip().partition("=")
    settings.OTPMAIL_KEYS = {key_id: value}
    assert keys.current().id == "2026-11"
    assert value not in caplog.text


def test_a_key_has_the_day_for_a_name(capsys):
    call_command("otpmail_key")
    assert capsys.readouterr().out.startswith("20")


def test_an_id_that_does_not_fit_is_refused():
    with pytest.raises(CommandError, match="a key's id"):
        call_command("otpmail_key", id="a=b")
