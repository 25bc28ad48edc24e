"""No code in what others say of a mail: replies, providers' reports, the words of exceptions.

In: a text from outside, and the codes that it may quote. Out: the same text, with stars.
Knows nothing of: challenges, who said it.

Call it on the whole text, before it is cut: half a code is no match. What goes:

- a code that is known, whatever stands between its digits but letters and other digits, also inside
  a longer number; in the digits of any script, as HTML, in percent or quoted-printable encoding, by
  their octets' numbers;
- each run of four digits and more, known or not, with nothing visible in between. So a status code
  stays (three digits each: RFC 5321, 4.2; RFC 3463, 2), and most of a queue's id;
- a word of base64 that holds either, also where a line of it ends;
- the token of a cancel link (``crypto.cancel_link``).

The time that it takes grows as the text does: who answers us chooses how long that is.

A code in words, in an image or under a cipher is not found.
"""

import base64
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator

from django.core.mail import EmailMessage

RUN = 4
"""Digits of the shortest code that a purpose may have; no status code has as many."""

STAR = "*"

_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[\w-]{4,}")
_TOKEN_PART = re.compile(r"(?:[\w-](?:=\s+)?)++", re.ASCII)
_TOKEN_DOT = re.compile(r"\.(?:=\s+)?", re.ASCII)
_TOKEN_SIZES = (20, 27)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_LINES = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{8,}+(?:\s|\\[rn]){1,4})+[A-Za-z0-9+/_-]+={0,2}"
)
_OCTET = re.compile(
    r"(?:[%=](?:25)*|\\x)([0-9A-Fa-f]{2})"  # a percent sign may be encoded again
    r"|\\([0-3][0-7]{2})"
)
_DUMPED = r"\b(?:0x)?3\d(?:[\s:,-]{1,2}(?:0x)?3\d){3,}\b"
_ENCODED = re.compile(
    rf"(?:{_OCTET.pattern})+|{_DUMPED}"
    r"|=\r?\n"  # a soft line break (RFC 2045, 6.7)
    r"|&(?:amp;)*(?:\#\d{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});?"
    r"|\\(?:u[0-9A-Fa-f]{4}|[nrt])"
)
_MARKED_UP = re.compile(_ENCODED.pattern + r"|<[^<>]*>")
_INVISIBLE = frozenset({"Cf", "Mn", "Me"})

type Span = tuple[int, int]
type Sign = tuple[str, Span]
"""A character that is meant, and where the text writes it."""


def redact(text: str, codes: Iterable[str] = ()) -> str:
    """Put stars in the place of codes, and of whatever may be one."""
    known = [code for code in codes if code]
    shown = [*text]
    for start, end in {*_numbers(text, known), *_words(text, known), *_tokens(text)}:
        shown[start:end] = STAR * (end - start)
    return "".join(shown)


def keep_secret(mail: EmailMessage, codes: Iterable[str]) -> None:
    """Write on a mail what nobody may be told who asks what became of it."""
    mail.otpmail_codes = tuple(codes)  # type: ignore[attr-defined]


def of_mail(text: str, mail: EmailMessage) -> str:
    """Redact what is said of a mail: its codes, and each word of it that has a digit."""
    text = redact(text, getattr(mail, "otpmail_codes", ()))
    if not any(map(_DIGIT.search, _WORD.findall(text))):  # the usual reply
        return text
    shown = " ".join(map(str, (mail.subject, mail.body, *getattr(mail, "alternatives", ()))))
    return _WORD.sub(lambda word: _starred(word[0], shown), text)


def _starred(word: str, shown: str) -> str:
    return STAR * len(word) if _DIGIT.search(word) and word in shown else word


def _numbers(text: str, known: Iterable[str]) -> Iterator[Span]:
    if any(map(str.isdigit, text)):
        yield from _found(((char, (at, at + 1)) for at, char in enumerate(text)), known)
    for encoding in (_ENCODED, _MARKED_UP):
        if encoding.search(text):  # else it is what it says
            yield from _found(_as_meant(text, encoding), known)


def _words(text: str, known: Iterable[str]) -> Iterator[Span]:
    for word in (*_BASE64.finditer(text), *_LINES.finditer(text)):
        if any(next(_numbers(meant, known), None) for meant in _from_base64(word[0])):
            yield word.span()


def _tokens(text: str) -> Iterator[Span]:
    first, second = _TOKEN_SIZES
    before = None
    for part in _TOKEN_PART.finditer(text):
        is_joined = before and _TOKEN_DOT.fullmatch(text, before.end(), part.start())
        if before and is_joined and _size(before) >= first and _size(part) >= second:
            yield before.start(), part.end()
            before = None
        else:
            before = part


def _size(part: re.Match[str]) -> int:
    return len(re.sub(r"=\s+", "", part[0]))


def _as_meant(text: str, encoding: re.Pattern[str]) -> Iterator[Sign]:
    place = 0
    for match in encoding.finditer(text):
        yield from ((text[at], (at, at + 1)) for at in range(place, match.start()))
        yield from ((char, match.span()) for char in _decoded(match[0]))
        place = match.end()
    yield from ((text[at], (at, at + 1)) for at in range(place, len(text)))


def _decoded(piece: str) -> str:
    match piece[0], piece[1]:
        case ("<", _) | ("=", "\r" | "\n") | ("\\", "n" | "r" | "t"):
            return " "
        case "&", _:
            return html.unescape(re.sub("&(amp;)+(?=.)", "&", piece))
        case "\\", "u":
            return chr(int(piece[2:], 16))  # noqa: FURB166 - not after 0x
        case (("0" | "3"), _):
            return "".join(chr(int(octet, 16)) for octet in re.findall(r"3\d", piece))
        case _:
            octets = (
                int(hex_, 16) if hex_ else int(oct_, 8) for hex_, oct_ in _OCTET.findall(piece)
            )
            return bytes(octets).decode(errors="replace")


def _from_base64(word: str) -> Iterator[str]:
    plain = re.sub(r"\s|\\[rn]|=+$", "", word).replace("-", "+").replace("_", "/")
    for start in range(4):  # a cut, or a word before it, may have moved it
        moved = plain[start:] + "AAA"
        yield base64.b64decode(moved[: len(moved) // 4 * 4]).decode(errors="replace")


def _found(signs: Iterable[Sign], known: Iterable[str]) -> Iterator[Span]:
    """Find codes in a chain of digits, and runs in it that nothing visible breaks."""
    chain: list[Sign] = []
    run: list[Span] = []
    for char, span in [*signs, ("x", (0, 0))]:
        digit = unicodedata.digit(char, -1)
        if digit >= 0:
            chain.append((str(digit), span))
            run.append(span)
        elif unicodedata.category(char) not in _INVISIBLE:
            yield from run if len(run) >= RUN else ()
            run = []
        if digit < 0 and char.isalnum():
            yield from _known_in(chain, known)
            chain = []


def _known_in(chain: list[Sign], known: Iterable[str]) -> Iterator[Span]:
    digits = "".join(digit for digit, _ in chain)
    for code in known:
        for match in re.finditer(f"(?={code})", digits):
            yield from (span for _, span in chain[match.start() : match.start() + len(code)])
