"""Header names as boot loaders want them.

HTTP header names are case-insensitive (RFC 9110, section 5.1), but GRUB up to 2.12 compares
“Content-Length: ” letter by letter (its net/http.c); without a length it refuses a kernel and
starts all over. ASGI servers write names in lower case, so they are written here as every web
server of GRUB's time wrote them. Only h11 sends names as they are given: `serve` asks for it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class LoaderHeaders:
    """Wraps an application; its answers have names such as Content-Length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_titled(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                message["headers"] = [(name.title(), value) for name, value in headers]
            await send(message)

        await self._app(scope, receive, send_titled)
