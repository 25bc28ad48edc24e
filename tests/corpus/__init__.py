"""Mails of every kind that Django can be given, by hand and drawn: a name, and what makes it anew.

What one makes differs in nothing from one time to the next, but for what Django or Python draw.
"""

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives

from tests.corpus.mails import ALTERNATIVES, CONTENTS, OTHERS, Filtering, Heading, Make, mail
from tests.corpus.parts import parts
from tests.corpus.values import ADDRESSEES, CAFE, CHARSETS, HEADERS, SUBJECTS, TEXTS


def by_hand() -> Iterator[tuple[str, Make]]:
    """Give a mail for each kind of thing that can be in one."""
    of_a_field: dict[str, dict[str, dict[str, Any]]] = {
        "body": {name: {"body": text} for name, text in TEXTS.items()},
        "html": {name: {"alternatives": [(text, "text/html")]} for name, text in TEXTS.items()},
        "subject": {name: {"subject": subject} for name, subject in SUBJECTS.items()},
        "address": ADDRESSEES,
        "header": {name: {"headers": headers} for name, headers in HEADERS.items()},
        "alternative": {name: {"alternatives": some} for name, some in ALTERNATIVES.items()},
        "charset": {name: {"body": "café\n", "encoding": name} for name in CHARSETS},
        "charset of all": {name: {**OF_ALL_FIELDS, "encoding": name} for name in CHARSETS},
    }
    for kind, named in of_a_field.items():
        for name, fields in named.items():
            yield f"{kind}: {name}", lambda fields=fields: mail(**fields)
    for name, content in CONTENTS.items():
        yield f"attachment: {name}", lambda content=content: mail(attachments=[content()])
    for name, make in parts().items():
        yield f"part: {name}", lambda make=make: mail(body=CAFE, attachments=[make()])
    yield from OTHERS.items()


OF_ALL_FIELDS: dict[str, Any] = {
    "subject": "café",
    "alternatives": [("<p>café</p>", "text/html")],
    "attachments": [("a.txt", "café", "text/plain")],
}


def drawn(number: int, seed: int = 1) -> Iterator[tuple[str, Make]]:
    """Draw mails of several such things at once, which Django can make."""
    made = ((f"drawn: {n}", lambda n=n: _draw(random.Random(f"{seed}.{n}"))) for n in count())
    return islice(((name, make) for name, make in made if _can_be_made(make)), number)


def _can_be_made(make: Make) -> bool:
    try:
        make().message().as_bytes()
    except Exception:  # noqa: BLE001 - as many as there are things in a mail
        return False
    return True


UNDRAWN = {
    "local part in utf-8", "no address", "Addresses", "name with a space", "name in two lines",
    "MIMEBase with a raw name",
}  # fmt: skip
"""What alone makes a mail one that not every backend sends."""

OF_A_MAIL: dict[str, tuple[float, dict[str, Any]]] = {
    "body": (1, TEXTS),
    "subject": (0.5, SUBJECTS),
    "headers": (0.5, HEADERS),
    "alternatives": (0.4, ALTERNATIVES),
    "encoding": (0.1, {name: name for name in CHARSETS}),
    "content_subtype": (0.2, {"html": "html"}),
}
"""What a mail is drawn of, and how often it has it."""


def _draw(rng: random.Random) -> EmailMessage:
    def choose(kinds: dict[str, Any]) -> Any:
        return rng.choice([value for name, value in kinds.items() if name not in UNDRAWN])

    named = {
        name: choose(kinds) for name, (often, kinds) in OF_A_MAIL.items() if rng.random() < often
    }
    if rng.random() < 0.4:
        named |= choose(ADDRESSEES)
    if rng.random() < 0.4:
        makes = CONTENTS | parts()
        named["attachments"] = [choose(makes)() for _ in range(rng.randint(1, 3))]
    return mail(rng.choice([EmailMultiAlternatives, Filtering, Heading]), **named)  # type: ignore[no-any-return]
