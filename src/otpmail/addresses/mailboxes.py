"""Which addresses arrive in one mailbox, as far as its provider tells: what is counted as one.

In: an address as ``addresses.canonical`` gives it. Out: the name that it is counted by.
Knows nothing of: what is counted, what is mailed.

It may take two mailboxes for one, whose owners then share an allowance; the other way round, a
mailbox would have one for each spelling. Nothing else may go by this name: it is no address.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How a provider reads the addresses at its domains."""

    domain: str = ""
    """That of the mailbox, where it has the same ones at several domains."""
    separators: str = "+"
    """What begins a sub-address (RFC 5233)."""
    ignored: str = ""
    """Characters that make no difference."""
    by_subdomain: bool = False
    """Whether ``anything@alice.<domain>`` is alice's."""


OTHER = Provider()
"""'+' is what most know: Microsoft's and Zoho's, whoever runs Postfix or Exchange by the book."""

GOOGLE = Provider(domain="gmail.com", ignored=".")
"""https://support.google.com/mail/answer/7436150 and .../10313"""

YAHOO = Provider(separators="+-")
"""https://help.yahoo.com/kb/SLN28338.html: a disposable address is ``nickname-keyword``."""

APPLE = Provider(domain="icloud.com")
"""https://support.apple.com/102525: @me.com and @mac.com are the same mailbox."""

PROTON = Provider(domain="proton.me", ignored=".-_")
"""https://proton.me/support/change-username and .../addresses-and-aliases"""

FASTMAIL = Provider(ignored="-_", by_subdomain=True)
"""https://www.fastmail.help/hc/en-us/articles/360060591053; as a subdomain '_' is written '-':
https://fastmail.com/blog/two-address-resolving-additions"""

YANDEX = Provider(domain="yandex.ru", ignored=".-")
"""https://yandex.com/support/yandex-360/customers/mail/: '.' and '-' stand for each other, and a
login is at each domain."""

PROVIDERS: Mapping[str, Provider] = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), GOOGLE),
    **dict.fromkeys(("yahoo.*", "myyahoo.com", "ymail.com", "rocketmail.com"), YAHOO),
    **dict.fromkeys(("icloud.com", "me.com", "mac.com"), APPLE),
    **dict.fromkeys(("proton.me", "protonmail.com", "protonmail.ch", "pm.me"), PROTON),
    **dict.fromkeys(("fastmail.*", "sent.com"), FASTMAIL),
    **dict.fromkeys(("yandex.*", "ya.ru"), YANDEX),
}
"""By domain; ``yahoo.*`` is each that begins so."""


def mailbox_of(address: str) -> str:
    """Name the mailbox that an address is counted by."""
    written, _, domain = address.rpartition("@")
    user, _, above = domain.partition(".")
    provider = _provider(above)
    if provider.by_subdomain:
        written, domain = user, above
    else:
        provider = _provider(domain)
    local = unicodedata.normalize("NFKC", written.strip('"')).casefold()
    base = re.split(f"[{provider.separators}]", local, maxsplit=1)[0]
    name = "".join(letter for letter in base if letter not in provider.ignored)
    return f"{name or local}@{provider.domain or domain}"  # '+49...' is a name, too


def _provider(domain: str) -> Provider:
    begins = domain.partition(".")[0] + ".*"
    return PROVIDERS.get(domain) or PROVIDERS.get(begins, OTHER)
