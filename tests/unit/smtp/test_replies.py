import io
import itertools
import smtplib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.smtp.replies import MAX_LINE, MAX_LINES, MalformedReplyError, Reply, ReplyParser


def parse(data: bytes) -> list[Reply]:
    parser = ReplyParser()
    parser.feed(data)
    return list(iter(parser.next, None))


def test_one_line_is_a_reply():
    assert parse(b"250 ok\r\n") == [Reply(250, (b"ok",))]


def test_lines_with_a_dash_go_on():
    (reply,) = parse(b"250-one\r\n250-two\r\n250 three\r\n")
    assert reply.lines == (b"one", b"two", b"three")
    assert reply.text == "one\ntwo\nthree"


def test_a_bare_code_is_a_reply():
    assert parse(b"250\r\n250 \r\n") == [Reply(250, (b"",)), Reply(250, (b"",))]


def test_two_replies_in_one_segment_stay_two():
    assert [reply.code for reply in parse(b"250 ok\r\n354 go on\r\n")] == [250, 354]


def test_a_reply_split_anywhere_is_the_same():
    data = b"250-one\r\n250 2.1.0 two\r\n"
    for cut in range(len(data) + 1):
        parser = ReplyParser()
        parser.feed(data[:cut])
        assert cut == len(data) or parser.next() is None
        parser.feed(data[cut:])
        assert parser.next() == Reply(250, (b"one", b"2.1.0 two"))
        assert parser.empty


def test_an_unfinished_reply_is_not_empty():
    parser = ReplyParser()
    parser.feed(b"250-one\r\n")
    assert parser.next() is None
    assert not parser.empty


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"050 ok\r\n",
        b"250 a\nb\r\n",
        b" 250 ok\r\n",
        b"250-one\r\n354 two\r\n",
        b"250-one\r\n550 two\r\n",
        b"250-one\r\nhello\r\n",
        " ٢٥٠ ok\r\n".encode(),
        b"250 " + b"x" * MAX_LINE,
        b"250-x\r\n" * (MAX_LINES + 1),
    ],
)
def test_anything_else_is_malformed(data):
    with pytest.raises(MalformedReplyError):
        parse(data)


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"571 5.7.1 no\r\n", 571, "5.7.1 no"),
        (b"260 ok\r\n", 260, "ok"),
        (b"299 ok\r\n", 299, "ok"),
        (b"399 go on\r\n", 399, "go on"),
        (b"499 later\r\n", 499, "later"),
        (b"599 never\r\n", 599, "never"),
        (b"250\tok\r\n", 250, "ok"),
        (b"250 ok\n", 250, "ok"),
        (b"250\n", 250, ""),
        (b"250-a\n250-b\r\n250 c\n", 250, "a\nb\nc"),
        (b"250 ok\r\r\n", 250, "ok"),
        (b"250OK\r\n", 250, "OK"),
        (b"250: ok\r\n", 250, "ok"),
        (b"250.ok\r\n", 250, "ok"),
        (b"250_ok\r\n", 250, "ok"),
        (b"550x\r\n", 550, "x"),
        (b"550#5.1.1 no\r\n", 550, "#5.1.1 no"),
        (b"5500 x\r\n", 550, "0 x"),
        (b"250- a\r\n250 b\r\n", 250, "a\nb"),
        (b"250 " + b"x" * 8186 + b"\r\n", 250, "x" * 8186),
        (b"250 a\rb\r\n", 250, "a\rb"),
        (b"250 a\0b\r\n", 250, "a\0b"),
        (b"250 caf\xe9\r\n", 250, "caf\ufffd"),
        (b"550-5.7.1 no\r\n554 5.7.1 no\r\n", 554, "5.7.1 no\n5.7.1 no"),
    ],
)
def test_what_servers_write_is_read(data, code, text):
    """RFC 5321, 4.2.1: the first digit tells what to do, where the rest is not known."""
    (reply,) = parse(data)
    assert (reply.code, reply.text) == (code, text)


@given(st.integers(200, 599), st.text(st.characters(codec="utf-8", exclude_characters="\r\n")))
def test_a_line_has_the_code_that_smtplib_reads_and_goes_on_where_it_does(code, rest):
    line = f"{code}{rest}\r\n".encode()
    peer = smtplib.SMTP()
    peer.file = io.BytesIO(line + b"%d end\r\n" % code)
    told, _ = peer.getreply()
    replies = parse(line + b"%d end\r\n" % code)
    assert replies[0].code == told == code
    assert len(replies) == 1 + bool(peer.file.read())


def test_a_spoilt_parser_stays_spoilt():
    parser = ReplyParser()
    parser.feed(b"nonsense\r\n250 ok\r\n")
    for _ in range(2):
        with pytest.raises(MalformedReplyError):
            parser.next()


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"2.1.5 ok", (2, 1, 5)),
        (b"2.1.5", (2, 1, 5)),
        (b"5.1.5 of another class", None),
        (b"2.1 short", None),
        (b"2.1.5: ok", (2, 1, 5)),
        (b"#2.1.5 ok", (2, 1, 5)),
        (b"(2.1.5) ok", (2, 1, 5)),
        (b"2.1.5.7", None),
        (b"2.1.5678", None),
        (b"ok", None),
    ],
)
def test_enhanced_code_is_read_if_it_is_of_the_class_of_the_reply(line, enhanced):
    assert Reply(250, (line,)).enhanced == enhanced


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_no_bytes_raise_anything_but_the_parsers_own_error(segments):
    parser = ReplyParser()
    for segment in segments:
        parser.feed(segment)
        try:
            while (reply := parser.next()) is not None:
                assert 200 <= reply.code <= 599
                assert reply.text is not None
                assert reply.enhanced is None or reply.enhanced[0] == reply.code // 100
        except MalformedReplyError:
            return


SMTP_LIKE = st.lists(
    st.sampled_from(
        [b"2", b"5", b"0", b"50", b"-", b" ", b"\r", b"\n", b"\r\n", b"\0", b"x", b"2.0.0"]
    ),
    max_size=60,
).map(b"".join)


@given(SMTP_LIKE, st.lists(st.integers(0, 120), max_size=6))
def test_where_segments_end_never_changes_what_is_read(data, cuts):
    def read(segments: list[bytes]) -> tuple[list[Reply], bool]:
        parser, replies = ReplyParser(), []
        try:
            for segment in segments:
                parser.feed(segment)
                replies += iter(parser.next, None)
        except MalformedReplyError:
            return replies, True
        return replies, False

    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    segments = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert read(segments) == read([data])


@given(st.binary(min_size=1, max_size=100))
def test_an_endless_reply_never_grows_the_parser(segment):
    parser = ReplyParser()
    limit = MAX_LINE * MAX_LINES
    fed = 0
    while fed < 2 * MAX_LINE:
        parser.feed(segment)
        fed += len(segment)
        try:
            while parser.next() is not None:
                pass
        except MalformedReplyError:
            return
        assert held(parser) <= limit
    assert held(parser) < MAX_LINE


def held(parser):
    """Count the octets that are kept until a reply is whole."""
    return len(parser._buffer) + sum(map(len, parser._lines))
