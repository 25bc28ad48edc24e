"""Who asks, as far as it can be told: an address, a credential, a device.

In: what the project knows of a request. Out: names to count by.
Knows nothing of: requests, rows.
"""

import ipaddress
from dataclasses import dataclass

PREFIX_BITS = 64
"""Of an IPv6 address: one customer has all that begin alike (RFC 6177)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request comes from. Names only: no secret belongs in here.

    ``address`` is the client's own, never a proxy's. ``credential`` names one that the client has
    proved, such as a kiosk's: many people share its address, so it is counted by this instead.
    ``device`` names one that the project would know again; without it, the credential does.
    """

    address: str = ""
    credential: str = ""
    device: str = ""

    @property
    def counted_as(self) -> str:
        """Name whom the requests of this client are counted for; empty if it is not known."""
        return f"credential {self.credential}" if self.credential else network(self.address)

    @property
    def known_by(self) -> str:
        """Name what it would be known by if it came again; empty if nothing is."""
        return self.device or self.credential


NOBODY = Client()
"""Nothing is known of who asks."""


def network(address: str) -> str:
    """Give the network that is counted as one: an IPv4 address itself, the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, PREFIX_BITS), strict=False))
