"""The end of an ASGI server is heard: mails in flight arrive, and the rest is given back.

In: an ASGI application. Out: the same, which also speaks the lifespan protocol (2.0).
Knows nothing of: HTTP, which server it is.

uvicorn ends itself by the signal that it got, so no ``atexit`` runs; but it says
``lifespan.shutdown`` before. Django's own application does not listen to that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

type Scope = dict[str, Any]
type Message = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"


def with_lifespan(application: Application) -> Application:
    """Give the application with an end: its engine stops in ``OTPMAIL_DRAIN_SECONDS`` at most.

    ``application = with_lifespan(get_asgi_application())``. An application that speaks the
    protocol itself goes on to hear it, and ends before the engine does.
    """

    async def living(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _Life(receive, send).live(application, scope)
        else:
            await application(scope, receive, send)

    return living


class _Life:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._heard: set[str] = set()
        self._said: set[str] = set()

    async def live(self, application: Application, scope: Scope) -> None:
        """Let the application answer for itself; answer for it where it does not."""
        try:
            await application(scope, self.receive, self.send)
        except Exception:
            # It does not speak the protocol, and says so by raising: Django's does.
            if f"{STARTUP}.complete" in self._said:
                await self._stand_in()
                raise
        await self._stand_in()

    async def receive(self) -> Message:
        message = await self._receive()
        self._heard.add(message["type"])
        return message

    async def send(self, message: Message) -> None:
        if message["type"].startswith(SHUTDOWN):
            await asyncio.to_thread(_drain)
        self._said.add(message["type"])
        await self._send(message)

    async def _stand_in(self) -> None:
        if f"{STARTUP}.failed" in self._said:
            return
        for event in (STARTUP, SHUTDOWN):
            if not any(said.startswith(event) for said in self._said):
                while event not in self._heard:
                    await self.receive()
                await self.send({"type": f"{event}.complete"})


def _drain() -> None:
    from otpmail import engines  # Django's apps are ready only now

    engines.stop()
