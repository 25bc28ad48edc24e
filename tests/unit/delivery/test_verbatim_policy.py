"""What was read is written as it was, and what is set afterwards as ever."""

from email import message_from_bytes, policy

import pytest

from otpmail.delivery.verbatim_policy import verbatim

READ = """\
Subject:
X-None:\x20
X-Close:no blank
X-Wide:   three blanks\x20\x20
X-Folded: one
\ttwo
  three
X-Long: {long}
X-Raw: {raw}
content-type:multipart/mixed;boundary="b"

A preamble.
--b
X-Close:no blank

body
--b--
An epilogue.
""".format(long="word " * 50, raw="Größe").encode()


@pytest.mark.parametrize(
    "rules", [policy.default, policy.SMTP, policy.SMTPUTF8, policy.SMTP.clone(max_line_length=40)]
)
def test_what_was_read_is_written_as_it_was(rules):
    made = message_from_bytes(READ, policy=verbatim(rules))
    assert made.as_bytes() == READ.replace(b"\n", rules.linesep.encode())


def test_headers_read_as_ever_and_what_is_set_is_folded():
    made = message_from_bytes(READ, policy=verbatim(policy.SMTP))
    assert (made["Subject"], made["X-Wide"], made["X-Close"]) == ("", "three blanks", "no blank")
    assert made.get_content_type() == "multipart/mixed"
    made["X-Set"] = "ö" * 100
    del made["X-Long"]
    lines = made.as_bytes().split(b"\r\n")
    assert b"X-Close:no blank" in lines
    assert any(line.startswith(b"X-Set: =?utf-8?") for line in lines)
    assert max(map(len, lines)) <= 78
