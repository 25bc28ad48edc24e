"""MIME parts of all classes and policies."""

import textwrap
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import Message, MIMEPart
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django

from tests.corpus.values import CAFE

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8 + b"\r\n%%EOF\r"
GIF = b"GIF89a" + bytes(range(256))
MODERN = django.VERSION >= (6, 0)


def part(kind: str = "application/pdf", content: Any = PDF, **named: Any) -> MIMEPart:
    """Make a part as Python has it now."""
    made = MIMEPart(policy=named.pop("policy", policy.default))
    main, sub = kind.split("/")
    if isinstance(content, str):
        made.set_content(content, sub, **named)
    else:
        made.set_content(content, main, sub, **named)
    return made


def legacy(content: bytes = GIF) -> MIMEImage:
    """Make a part as Python had it, shown in the mail."""
    made = MIMEImage(content, "gif")
    made.add_header("Content-Disposition", "inline", filename="größe.gif")
    made.add_header("Content-ID", "<logo@example.org>")
    return made


def parsed(made_by: Any, text: str, **named: Any) -> Any:
    """Make a part out of its octets, as whoever forwards a mail does."""
    return message_from_bytes(textwrap.dedent(text).encode(), _class=made_by, **named)


class Parsed(MIMEBase):
    def __init__(self, policy: Any = policy.compat32) -> None:
        Message.__init__(self, policy)


RAW_NAME = """\
    Content-Type: application/pdf
    Content-Transfer-Encoding: base64
    Content-Disposition: attachment; filename="Größe.pdf"
    X-No-Space:no space

    JVBERi0xLjcK
    """
SIGNED = """\
    Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="sig"

    --sig
    Content-Type: text/plain
    X-Own:no space

    What was signed \x20
    --sig
    Content-Type: application/pgp-signature

    -----BEGIN PGP SIGNATURE-----
    --sig--
    """
MIXED = """\
    Content-Type: multipart/mixed; boundary="own boundary"

    A preamble.
    --own boundary
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: 8bit

    Votre café
    --own boundary
    Content-Type: message/rfc822

    Subject: =?utf-8?q?caf=C3=A9?=
    Content-Type: text/plain; charset=iso-8859-1; format=flowed
    Content-Transfer-Encoding: quoted-printable

    caf=E9 =
    flows
    --own boundary--
    An epilogue.
    """
EIGHT_BIT = """\
    Content-Type: application/octet-stream
    Content-Transfer-Encoding: 8bit

    octets: é
    """


def parts() -> dict[str, Callable[[], Any]]:
    """Give parts of all classes and policies that this Django attaches."""
    base = {
        "MIMEImage": legacy,
        "MIMEText": lambda: MIMEText("café", "plain", "utf-8"),
        "MIMEText in ASCII": lambda: MIMEText("text\n.\n", "csv", "us-ascii"),
        "MIMEApplication": lambda: MIMEApplication(PDF, "pdf", name="größe.pdf"),
        "MIMEMultipart": lambda: MIMEMultipart(
            "related", "own", [legacy(), MIMEText("<p>é</p>", "html")]
        ),
        "MIMEBase with a raw name": lambda: parsed(Parsed, RAW_NAME),
        "MIMEBase in eight bits": lambda: parsed(Parsed, EIGHT_BIT),
        "MIMEBase signed": lambda: parsed(Parsed, SIGNED),
        "MIMEBase of several": lambda: parsed(Parsed, MIXED),
    }
    if not MODERN:
        return base
    policies = {"default": policy.default, "SMTP": policy.SMTP, "SMTPUTF8": policy.SMTPUTF8,
                "compat32": policy.compat32, "wide": policy.default.clone(max_line_length=200),
                "7bit": policy.SMTP.clone(cte_type="7bit")}  # fmt: skip
    modern: dict[str, Callable[[], Any]] = {
        f"{name} under {named}": make
        for named, rules in policies.items()
        for name, make in {
            "raw name": lambda rules=rules: parsed(MIMEPart, RAW_NAME, policy=rules),
            "eight bits": lambda rules=rules: parsed(MIMEPart, EIGHT_BIT, policy=rules),
            "signed": lambda rules=rules: parsed(MIMEPart, SIGNED, policy=rules),
            "several": lambda rules=rules: parsed(MIMEPart, MIXED, policy=rules),
        }.items()
    }
    for named, rules in policies.items():
        if named != "compat32":
            modern |= {
                f"PDF under {named}": lambda rules=rules: part(
                    policy=rules, filename="Größe und Höhe der Räume, Straße für Straße.pdf"
                ),
                f"text under {named}": lambda rules=rules: part("text/plain", CAFE, policy=rules),
            }
    return base | modern | {
        "base64 text": lambda: part("text/plain", CAFE, cte="base64"),
        "quoted octets": lambda: part(cte="quoted-printable", filename="a.pdf"),
        "octets as they are": lambda: part(content=b"\xff\xfe", cte="8bit"),
        "binary": lambda: part(content=b"\xff\r\n\x00\xfe\r\n", cte="binary"),
        "cid": lambda: part("image/gif", GIF, disposition="inline", cid="<logo@example.org>"),
        "own header": lambda: part(headers=["X-Own: a", "Content-Description: " + "long " * 50]),
        "EmailMessage": lambda: parsed(None, MIXED, policy=policy.default),
    }  # fmt: skip
