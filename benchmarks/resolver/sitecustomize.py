"""Python imports it when it starts: ``mail.test`` has two addresses, the first of them dead."""

import socket
from typing import Any

ADDRESSES = ("127.0.0.2", "127.0.0.1")
_ask = socket.getaddrinfo


def _answer(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
    if host != "mail.test":
        return _ask(host, port, *arguments, **options)
    return [entry for address in ADDRESSES for entry in _ask(address, port, *arguments, **options)]


socket.getaddrinfo = _answer
