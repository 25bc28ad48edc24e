"""Who asks: a kiosk by the key that it sends, anybody else by address.

In: a request. Out: what otpmail counts by.
Knows nothing of: members.

A header that names the client is believed only of a proxy of ours: anybody can send one.
"""

import hashlib

from django.conf import settings
from django.http import HttpRequest

from otpmail.challenges import Client

KIOSK_KEY = "X-Kiosk-Key"
FORWARDED = "X-Forwarded-For"


def client_of(request: HttpRequest) -> Client:
    """Tell who asks. A kiosk's key is 256 random bits, so its bare SHA-256 is enough to keep."""
    key = request.headers.get(KIOSK_KEY, "")
    if not key.strip():  # no key is nobody's, whatever KIOSKS says of an empty one
        return Client(address=_address(request))
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return Client(address=_address(request), credential=settings.KIOSKS.get(digest, ""))


def _address(request: HttpRequest) -> str:
    """Walk from the nearest hop outwards, as long as each is a proxy of ours."""
    hops = [hop.strip() for hop in request.headers.get(FORWARDED, "").split(",")]
    address: str = request.META.get("REMOTE_ADDR", "")
    while hops and hops[-1] and _is_proxy(address):
        address = hops.pop()
    return address


def _is_proxy(address: str) -> bool:
    found = Client(address=address).ip
    if found is None:  # a UNIX socket has none, and only the proxy can open it
        return address == "" and bool(settings.TRUSTED_PROXIES)
    return any(found in proxy for proxy in settings.TRUSTED_PROXIES)
