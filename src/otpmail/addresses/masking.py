"""An address that is shown to anybody but its owner is masked."""

import re

ADDRESS = re.compile(r"""(?:"[^"]*"|[^\s<>"(),:;@\[\]]+)@(?:\[[^\]\s]*\]|[^\s<>"(),:;@\[\]]+)""")


def mask(address: str) -> str:
    """Keep the first character and the domain: ``a***@example.org``.

    The domain stays, since an operator must see which provider is slow.
    """
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def mask_addresses(text: str) -> str:
    """Mask every address in a text."""
    return ADDRESS.sub(lambda match: mask(match[0]), text)
