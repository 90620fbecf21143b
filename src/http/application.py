"""The Litestar application with a router that finds exact paths directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

from litestar import Litestar, asgi
from litestar._asgi.asgi_router import ASGIRouter
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, ExceptionHandlersMap, Method, Receive, RouteHandlerType, Scope, Send
from litestar.utils.scope.state import ScopeState

from src.http.client_address import USUAL_HOST
from src.http.endpoint import GET, Endpoint

# The fallback route, and the key in the scope's state that holds its reason.
NO_ROUTE = "/.no-route"
REFUSAL = "ecotrips.refusal"


class ResolvedRoute(NamedTuple):
    """A route's stack from Litestar, with the values that Litestar's search would put into the scope."""

    stack: ASGIApp
    handler: RouteHandlerType
    path: str
    exceptions: ExceptionHandlersMap
    mounted: bool


class Router(ASGIRouter):
    """Litestar's router with a shortcut for paths without parameters.

    Litestar's search is slow and changes the path that a mounted application sees; here that stays the request's path
    below `root_path`, as ASGI defines it. Unknown paths and methods pass the application's middleware like all others.
    """

    __slots__ = ("_endpoints", "_exact", "_mounts")

    def __init__(self, app: Litestar) -> None:
        super().__init__(app)
        # Litestar would cache a thousand paths of any length, and clients choose those with parameters.
        self.handle_routing = self._handle_routing  # type: ignore[assignment] # the function below the cache

    def construct_routing_trie(self) -> None:
        for route in self.app.routes:
            # GET implies HEAD (RFC 9110, 9.3.2).
            if isinstance(route, HTTPRoute) and "GET" in route.route_handler_map:
                route.route_handler_map.setdefault("HEAD", route.route_handler_map["GET"])
                route.methods.add("HEAD")
        super().construct_routing_trie()
        exact = [route for route in self.app.routes if "{" not in route.path]
        found = {
            (method, route.path): self._known(route.path, method) for route in exact for method in _methods_of(route)
        }
        self._exact = {key: known for key, known in found.items() if not known.mounted}
        # An endpoint answers HEAD where it answers GET, and refuses other methods itself.
        endpoints = [(known, known.handler) for known in found.values() if isinstance(known.handler, Endpoint)]
        self._endpoints = {known.path: known for known, handler in endpoints}
        self._endpoints |= {known.path: known for known, handler in endpoints if handler.method == GET}
        for known, handler in endpoints:
            taken = {method for other, one in endpoints if other.path == known.path for method in one.takes}
            handler.allowed = ", ".join(sorted(taken))
        self._mounts = [(f"{known.path}/", known) for known in found.values() if known.mounted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._at_once(scope)
        if found is not None:
            await self._pass(found, scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        except HTTPException as refusal:
            if cast("Mapping[str, object]", scope).get("route_handler") is not None:
                raise
            scope["state"][REFUSAL] = refusal
            await self._pass(self._exact[None, NO_ROUTE], scope, receive, send)

    def _handle_routing(
        self, path: str, method: Method | None
    ) -> tuple[ASGIApp, RouteHandlerType, str, dict[str, object], str]:
        known = self._endpoints.get(path)
        if known is not None and (method, path) not in self._exact:
            return known.stack, known.handler, path, {}, path
        found = super()._handle_routing(path, method)
        if isinstance(found[1], ASGIRouteHandler) and found[1].is_mount:
            # Litestar matches every path with a mount's prefix; paths below mounts were found before.
            raise NotFoundException
        return found

    def _known(self, path: str, method: Method | None) -> ResolvedRoute:
        stack, handler, *_ = super()._handle_routing(path, method)
        mounted = isinstance(handler, ASGIRouteHandler) and handler.is_mount
        return ResolvedRoute(stack, handler, path, handler.resolve_exception_handlers(), mounted=mounted)

    def _at_once(self, scope: Scope) -> ResolvedRoute | None:
        assert scope["type"] == ScopeType.HTTP  # noqa: S101 - no route takes websockets
        path = scope["path"]
        found = self._exact.get((scope["method"], path)) or self._exact.get((None, path)) or self._endpoints.get(path)
        if found is not None:
            return found if _is_usual(scope) else None
        return next((found for prefix, found in self._mounts if path.startswith(prefix) or path == found.path), None)

    async def _pass(self, found: ResolvedRoute, scope: Scope, receive: Receive, send: Send) -> None:
        ScopeState.from_scope(scope).exception_handlers = found.exceptions
        scope["route_handler"], scope["path_template"], scope["path_params"] = found.handler, found.path, {}
        if found.mounted:
            scope["root_path"] = found.path
        await found.stack(scope, receive, send)


class Application(Litestar):
    """A Litestar application with our router."""

    def _create_asgi_handler(self) -> ASGIApp:
        self.asgi_router = Router(app=self)
        self.asgi_router.construct_routing_trie()
        return super()._create_asgi_handler()


@asgi(NO_ROUTE, copy_scope=False)
async def no_route(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - as ASGI calls it
    """The handler of all requests without a route."""
    # The error is dropped here. A reference cycle from it to the request would live until the collector runs, and the
    # server keeps the connection open as long.
    raise scope["state"].pop(REFUSAL, None) or NotFoundException()


def _methods_of(route: BaseRoute) -> Iterable[Method | None]:
    """The handlers' methods without the OPTIONS that Litestar adds; None for ASGI handlers."""
    if not isinstance(route, HTTPRoute):
        return (None,)
    of_endpoint = any(isinstance(handler, Endpoint) for handler in route.route_handlers)
    return [method for method in route.route_handler_map if not (of_endpoint and method == "OPTIONS")]


def _is_usual(scope: Scope) -> bool:
    """Whether the host needs no check by Litestar."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and USUAL_HOST.fullmatch(hosts[0]) is not None
