"""What of a page a person sees.

In: HTML. Out: its visible texts, each between two tags. Knows nothing of: style sheets, templates.
"""

import re
from html.parser import HTMLParser

UNSEEN = frozenset({"head", "title", "style", "script", "template", "noscript"})
EMPTY = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)
"""Elements without an end (HTML, 13.1.2)."""

HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)"
    r"|(font-size|opacity)\s*:\s*0*(\.0+)?([a-z]+|%)?\s*(;|!|$)",
    re.IGNORECASE,
)


def texts(html: str) -> list[str]:
    """Give what is seen of it, as a browser without its style sheets would show it."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.seen


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        style = HIDING.search(named.get("style") or "")
        if tag not in EMPTY:
            self._open.append((tag, tag in UNSEEN or "hidden" in named or style is not None))

    def handle_endtag(self, tag: str) -> None:
        if any(tag == one for one, _ in self._open):
            while self._open.pop()[0] != tag:  # those whose end may be left out
                pass

    def handle_data(self, data: str) -> None:
        if not any(is_hidden for _, is_hidden in self._open):
            self.seen.append(data)
