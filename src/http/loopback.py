"""The service as its own client, without a socket."""

from typing import Any, cast

import httpx

from src.edge.asgi import Asgi

# What an inner request takes over from the outer one; the rest describes a body that it does not have.
KEPT = frozenset({b"apikey", b"authorization"})


class Loopback:
    """Asks `application`, which is set once it is made."""

    application: Asgi | None = None

    async def __call__(self, path: str, headers: dict[bytes, bytes]) -> int:
        """The status that a GET of `path` gets."""
        transport = httpx.ASGITransport(cast("Any", self.application), raise_app_exceptions=False)
        kept = [(name, value) for name, value in headers.items() if name in KEPT]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path, headers=kept)).status_code
