"""An address that is shown to anybody but its owner is masked."""

import re

OUTSIDE = r"""\s<>"(),:;@\[\]"""
PART = rf"(?:&\#\w+;|[^{OUTSIDE}])+"
AT = r"[%=]40|\\x40|\\u0040|&\#0*64;|&\#x0*40;|&commat;|\uff20|\ufe6b"
ADDRESS = re.compile(
    rf'(?:"[^"]*"|{PART})@(?:\[[^\]\s]*\]|{PART})'
    rf"|(?<![^{OUTSIDE}])(?P<local>{PART}?)(?P<at>{AT})(?P<domain>(?:[\w-]+\.)+[^\W\d_]{{2,}})",
    re.IGNORECASE,
)
"""As it is, or with its @ encoded: that is one only before a name with a dot."""


def mask(address: str) -> str:
    """Keep the first character and the domain: ``a***@example.org``.

    The domain stays, since an operator must see which provider is slow.
    """
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def mask_addresses(text: str) -> str:
    """Mask every address in a text, which must have its letters yet: none may end an address."""
    return ADDRESS.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    if not match["at"]:
        return mask(match[0])
    return f"{match['local'][:1]}***{match['at']}{match['domain']}"
