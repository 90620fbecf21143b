"""What stands before Litestar: requests whose route is one prefix or one whole path need none of its routing.

It is the one place that every answer passes, so what browsers are told is added here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from litestar import Litestar

from src.edge.asgi import Asgi, Message, Receive, Send
from src.edge.cors import Cors
from src.edge.draining import drained
from src.http.browsers import DATA, HTTPS_ONLY, PAGES, telling
from src.http.client_address import USUAL_HOST


@dataclass(frozen=True, slots=True)
class Front:
    """`application`, with everything below `prefix` handed straight to `mounted`, and `functions` by their paths.

    A mount inside Litestar would cost a request as much as reading, planning and answering it; its way to a function
    costs as much as reading the body. What is unusual about the path or the host is left to Litestar to judge.
    """

    application: Litestar
    prefix: str
    mounted: Asgi
    functions: Mapping[str, Asgi]
    cors: Cors | None = None
    https_only: bool = False

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """One request, or the lifespan."""
        chosen = self._chosen(scope)
        headers = DATA if chosen is self.mounted else PAGES
        told = telling(send, (*headers, *HTTPS_ONLY) if self.https_only else headers)
        return drained(partial(self.cors.serve, chosen) if self.cors else chosen, scope, receive, told)

    def _chosen(self, scope: Message) -> Asgi:
        path = scope.get("path", "")
        function = self.functions.get(path)
        if function is not None and _is_usual(scope):
            return function
        if path == self.prefix or path.startswith(f"{self.prefix}/"):
            scope["root_path"] = self.prefix
            return self.mounted
        return cast("Asgi", self.application)


def _is_usual(scope: Message) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return scope["type"] == "http" and len(hosts) == 1 and USUAL_HOST.fullmatch(hosts[0]) is not None
