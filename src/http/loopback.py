"""Lets the service call itself without a socket."""

from typing import Any, cast

import httpx

from src.edge.asgi import Asgi

# Parts of the outer request's scope that the inner one keeps; others describe its body.
KEPT = frozenset({b"apikey", b"authorization"})


class Loopback:
    """Calls `application`, which is set after it was made."""

    application: Asgi | None = None

    async def __call__(self, path: str, headers: dict[bytes, bytes]) -> int:
        """The status of a GET of `path`."""
        transport = httpx.ASGITransport(cast("Any", self.application), raise_app_exceptions=False)
        kept = [(name, value) for name, value in headers.items() if name in KEPT]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path, headers=kept)).status_code
