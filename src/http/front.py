"""What stands before Litestar: requests to the REST engine, whose route is one prefix, need none of its routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from litestar import Litestar

from src.http.rest.application import Asgi, Message, Receive, Send


@dataclass(frozen=True, slots=True)
class Front:
    """`application`, with everything below `prefix` handed straight to `mounted`.

    A mount inside Litestar would cost a request as much as reading, planning and answering it.
    """

    application: Litestar
    prefix: str
    mounted: Asgi

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        path = scope.get("path", "")
        if path.startswith(self.prefix) and path[len(self.prefix) :][:1] in ("", "/"):
            scope["root_path"] = self.prefix
            await self.mounted(scope, receive, send)
        else:
            await self.application(cast("Any", scope), cast("Any", receive), cast("Any", send))
