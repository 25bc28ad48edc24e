import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.display import one_line


@pytest.mark.parametrize(
    ("given_", "line"),
    [
        ("Bob", "Bob"),
        ("José Ñandú 李", "José Ñandú 李"),
        ("  Bob \t Smith\r\nBcc: all@example.org", "Bob Smith Bcc: all@example.org"),
        ("Bob\u2028Smith\x85Jr\x0b.", "Bob Smith Jr ."),
        ("Bob\u202egnp.exe", "Bobgnp.exe"),
        ("\u2066Bob\u2069\u200e\u061c", "Bob"),
        ("B\u200bo\u00adb\ufeff\u2060", "Bob"),
        ("Bob\x00\x1b[31m\x7f", "Bob[31m"),
        ("\u3164\u2800\u115f\uffa0", ""),
        ("B\U000e0041ob\ud800", "Bob"),
    ],
)
def test_line_shows_all_that_it_holds(given_, line):
    assert one_line.one_line(given_) == line


@given(st.text(st.characters()))
def test_a_line_has_no_break_no_control_and_nothing_unseen(text):
    line = one_line.one_line(text)
    assert len(line.splitlines()) <= 1
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert one_line.one_line(line) == line
    line.encode()
