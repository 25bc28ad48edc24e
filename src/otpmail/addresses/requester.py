"""Who asks, as far as it can be told: an address, a credential, a device.

In: what the project knows of a request. Out: names to count by.
Knows nothing of: requests, rows.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

PREFIX_BITS = 64
"""Of an IPv6 address: one host has all that begin alike."""

WIDER = {56: 4, 48: 16}
"""Bits that one customer may have all of, and how many times the allowance (RFC 6177, 2)."""

NO_ADDRESS = "no address"
"""What all are counted as that give something else for one."""

HOLDING_IPV4 = [
    IPv6Network("::/96"),  # IPv4-compatible (RFC 4291, 2.5.5.1)
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of a network's own, a /96 of it (RFC 8215)
]
"""Whose last 32 bits are an IPv4 address."""

OWN = frozenset({IPv6Address("::"), IPv6Address("::1")})
"""Those of ``::/96`` that hold none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request comes from. Names only: no secret belongs in here.

    ``address`` is the client's own, never a proxy's: an IP address, with or without a port.
    ``credential`` names one that the client has proved, such as a kiosk's: many people share its
    address, so it is counted by this instead. ``device`` names one that the project would know
    again; without it, the credential does.
    """

    address: str = ""
    credential: str = ""
    device: str = ""

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        """Read the address as proxies and sockets write it; None if it is none."""
        return ip_of(self.address)

    @property
    def counted_as(self) -> str:
        """Name whom the requests of this client are counted for; empty if it is not known."""
        return f"credential {self.credential}" if self.credential else network(self.address)

    @property
    def counted_wider(self) -> Mapping[str, int]:
        """Name the networks that its own is in, and how many times the allowance each has."""
        found = None if self.credential else _counted(self.address)
        if not isinstance(found, IPv6Address):
            return {}
        return {_prefix(found, bits): times for bits, times in WIDER.items()}

    @property
    def known_by(self) -> str:
        """Name what it would be known by if it came again; empty if nothing is."""
        return self.device or self.credential


NOBODY = Client()
"""Nothing is known of who asks."""


def network(address: str) -> str:
    """Give the network that is counted as one: an IPv4 address itself, the /64 of an IPv6 one.

    What is no address is counted as one, whatever it is; empty, it is not counted.
    """
    if not address:
        return ""
    found = _counted(address)
    if found is None:
        return NO_ADDRESS
    return _prefix(found, PREFIX_BITS) if isinstance(found, IPv6Address) else str(found)


def ip_of(text: object) -> IPv4Address | IPv6Address | None:
    """Read an IP address as proxies and sockets write it; None if it is none.

    It may have a port, brackets, quotes, a zone; one of IPv4 may be mapped into IPv6.
    """
    bare = str(text).strip(" \t\"'")
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0].strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _counted(text: object) -> IPv4Address | IPv6Address | None:
    found = ip_of(text)
    return (_inner(found) or found) if isinstance(found, IPv6Address) else found


def _inner(found: IPv6Address) -> IPv4Address | None:
    if found in OWN:
        return None
    if found.teredo:
        return found.teredo[1]  # the client's, not its server's, which thousands share (RFC 4380)
    if found.sixtofour:
        return found.sixtofour  # it has the whole /48 (RFC 3056)
    holds = any(found in holding for holding in HOLDING_IPV4)
    return IPv4Address(int(found) & 0xFFFFFFFF) if holds else None


def _prefix(found: IPv6Address, bits: int) -> str:
    return str(ipaddress.ip_network((found, bits), strict=False))
