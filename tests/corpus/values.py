"""Texts, subjects, addresses and headers of every kind."""

from datetime import UTC, date, datetime
from decimal import Decimal
from email.headerregistry import Address
from enum import Enum
from typing import Any

from django.db.models import TextChoices
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

CAFE = "Votre café est prêt.\n"
FIXED = {"Message-ID": "<inner@example.org>", "Date": "Tue, 24 Nov 2026 08:00:00 +0000"}
LONG = 1200


class Word(TextChoices):
    HELLO = "hello", "Hello there"


class Boxes(str, Enum):  # noqa: UP042 - a StrEnum calls itself by its value
    """Text that is an address, and calls itself by the member's name."""

    BOB = "bob@example.org"


TEXTS: dict[str, Any] = {
    "empty": "",
    "ascii": "Hello\n",
    "no line end": "Hello",
    "utf-8": CAFE,
    "emoji": "👩‍👩‍👧‍👦 🇪🇺\n",
    "right to left": "\u200fשלום עולם \u061c مرحبا\n",  # noqa: RUF001
    "one character in a thousand": "a" * 900 + "é" + "b" * 90,
    "all of Chinese": "您的验证码是" * 400,
    "a long line": "word " * 400,
    "a long line without a space": "x" * LONG,
    "a long line in utf-8": "café " * 400,
    "998 characters": "x" * 998 + "\n" + "y" * 999,
    "998 octets in utf-8": "é" * 499 + "\n" + "é" * 500,
    "CR LF": "one\r\ntwo\r\n",
    "CR": "one\rtwo\r",
    "all line ends": "a\nb\rc\r\nd\n\ne\r\r\nf\n\r",
    "Unicode's line ends": "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\n",
    "dots": ".\n..\n.a\n\n.\n",
    "From": "From me to you\n>From\n From\nfrom\n",
    "spaces at the end": "a \nb\t\n-- \n \n",
    "controls": "a\x00b\x07c\x1bd\x7f\n",
    "equals signs": "=3D = =\n==\n",
    "a boundary": "--===============1234567890123456789==\n={15}\n",
    "a delimiter": "--b\n\n--b--\n",
    "an end": "\n.\n\nQUIT\n",
    "many lines": "line\n" * 3000,
    "BOM": "\ufeffa\n",
    "surrogates": "a\udce9b\n",
    "safe": mark_safe("<p>café</p>\n"),
    "lazy": gettext_lazy("Hello"),
    "proxy": SimpleLazyObject(lambda: CAFE),
    "choice": Word.HELLO,
    "number": 7,
    "octets": b"caf\xc3\xa9",
    "nothing": None,
}

SUBJECTS: dict[str, Any] = {
    "empty": "",
    "utf-8": "Größe: 5 €",
    "long": "word " * 60,
    "long without a space": "x" * 300,
    "long in utf-8": "Größe " * 40,
    "long in Chinese": "验证码" * 50,
    "spaces": "  two  spaces  ",
    "quotes": 'say "hello", <you>; (or not)',
    "encoded already": "=?utf-8?q?caf=C3=A9?=",
    "looks encoded": "=?nonsense?=",
    "tab": "a\tb",
    "lazy": gettext_lazy("Hello"),
    "proxy": SimpleLazyObject(lambda: "Größe"),
    "choice": Word.HELLO,
    "number": 7,
    "decimal": Decimal("1.50"),
    "day": date(2026, 11, 24),
    "two lines": "a\nBcc: eve@example.org",
    "CR": "a\rb",
    "NUL": "a\x00b",
    "surrogate": "a\udce9",
    "emoji": "👍",
}

ADDRESSEES: dict[str, dict[str, Any]] = {
    "name": {"to": ["Bob <bob@example.org>"]},
    "quoted name": {"to": ['"Bob, Jr." <bob@example.org>']},
    "name in utf-8": {"to": ["Bøb Ångström <bob@example.org>"], "from_email": "Ä <a@example.org>"},
    "long name": {"to": [f"{'Bob ' * 40}<bob@example.org>"]},
    "comment": {"to": ["bob@example.org (Bob)"]},
    "several": {"to": [f"user{n}@example.org" for n in range(60)]},
    "twice": {"to": ["bob@example.org", "BOB@example.org", "bob@example.org"]},
    "all fields": {
        "cc": ["c@example.org"],
        "bcc": ["d@example.org"],
        "reply_to": ["e@example.org"],
    },
    "only bcc": {"to": [], "bcc": ["d@example.org"]},
    "only cc": {"to": [], "cc": ["d@example.org"]},
    "nobody": {"to": []},
    "None in bcc": {"bcc": [None]},
    "None in cc": {"cc": [None, "c@example.org"]},
    "None in to": {"to": ["bob@example.org", None]},
    "empty in bcc": {"bcc": ["", "d@example.org"]},
    "empty in reply_to": {"reply_to": [""]},
    "lazy": {"to": [gettext_lazy("bob@example.org")], "from_email": gettext_lazy("a@example.org")},
    "proxy": {"to": [SimpleLazyObject(lambda: "bob@example.org")]},
    "Address": {"to": [Address("Bob Ö", "bob", "example.org")]},
    "IDN": {"to": ["bob@bücher.example"], "from_email": "Ä <alice@bücher.example>"},
    "quoted local part": {"to": ['"bob smith"@example.org']},
    "local mailbox": {"from_email": "webmaster", "to": ["root"]},
    "tuple": {"to": ("bob@example.org",), "cc": ("c@example.org",)},
    "literal": {"to": ["bob@[127.0.0.1]"]},
    "plus and underscore": {"to": ["bob+tag_1@sub.example.org"]},
    "two lines": {"to": ["bob@example.org\nRCPT TO:<eve@example.org>"]},
    "two in one": {"to": ["bob@example.org, eve@example.org"]},
    "no address": {"to": ["Bob"], "cc": ["no address"]},
    "local part in utf-8": {"to": ["bøb@example.org"]},
    "no sender": {"from_email": None},
    "two lines in the sender": {"from_email": "a@example.org\nX: y"},
    "two lines in reply_to": {"reply_to": ["a@example.org\nX: y"]},
}

HEADERS: dict[str, dict[str, Any]] = {
    "From": {"From": "Somebody <else@example.org>"},
    "From in utf-8": {"From": "Ä <else@bücher.example>"},
    "To": {"To": "undisclosed-recipients:;"},
    "to in lower case": {"to": "list@example.org", "cc": "x@example.org"},
    "Cc": {"Cc": "c@example.org"},
    "Reply-To": {"Reply-To": "Ä <r@example.org>"},
    "Sender": {"Sender": "s@example.org", "Return-Path": "<r@example.org>"},
    "Address": {"From": Address("Ä", "else", "example.org")},
    "Addresses": {"Reply-To": [Address("Ä", "e", "example.org"), Address("B", "f", "example.org")]},
    "Message-ID": {"Message-ID": "<own@example.org>"},
    "message-id": {"message-id": "<own@example.org>", "X-After": "1", "date": FIXED["Date"]},
    "a long Message-ID": {"Message-ID": f"<{'x' * 400}@example.org>"},
    "a very long Message-ID": {"Message-ID": f"<{'x' * 2000}@example.org>"},
    "Message-ID that is none": {"Message-ID": "no brackets"},
    "Message-ID in utf-8": {"Message-ID": "<ö@example.org>"},
    "Date": {"Date": "Tue, 24 Nov 2026 09:00:00 +0100"},
    "Date as a moment": {"Date": datetime(2026, 11, 24, 8, tzinfo=UTC)},
    "Date that is none": {"Date": "yesterday"},
    "order": {"X-B": "2", "X-A": "1", "Date": FIXED["Date"], "X-C": "3"},
    "number": {"X-Number": 7},
    "decimal": {"X-Decimal": Decimal("1.50")},
    "nothing": {"X-None": None},
    "lazy": {"X-Lazy": gettext_lazy("Hello")},
    "proxy": {"X-Proxy": SimpleLazyObject(lambda: "Hello")},
    "safe": {"X-Safe": mark_safe("<b>")},
    "choice": {"X-Word": Word.HELLO},
    "octets": {"X-Octets": b"octets"},
    "empty": {"X-Empty": ""},
    "spaces": {"X-Spaces": "  a  b  "},
    "long": {"X-Long": "word " * 100},
    "long without a space": {"X-Long": "x" * 2000},
    "utf-8": {"X-Utf8": "Größe " * 20},
    "encoded": {"X-Encoded": "=?utf-8?q?caf=C3=A9?="},
    "list": {
        "List-Unsubscribe": f"<https://example.org/{'u' * 200}>, <mailto:u@example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-ID": "Größe <list.example.org>",
    },
    "References": {"References": " ".join(f"<{n}@example.org>" for n in range(40))},
    "MIME-Version": {"MIME-Version": "1.0"},
    "Content-Language": {"Content-Language": "de", "Content-ID": "<a@example.org>"},
    "Content-Type": {"Content-Type": "text/html"},
    "Bcc": {"Bcc": "eve@example.org"},
    "two lines": {"X-A": "a\nBcc: eve@example.org"},
    "name in two lines": {"X-A: a\nBcc": "eve@example.org"},
    "name with a space": {"X A": "a"},
    "surrogate": {"X-A": "\udce9"},
}


CHARSETS = (
    "iso-8859-1",
    "us-ascii",
    "utf-16",
    "koi8-r",
    "iso-2022-jp",
    "windows-1252",
    "UTF-8",
    "none",
)
