"""Whatever can be declared for an endpoint, at any layer, has its effect, or the application is not made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec
import pytest
from litestar import Controller, Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ImproperlyConfiguredException, NotFoundException, PermissionDeniedException
from litestar.types import ASGIApp, Receive, Scope, Send

from src import app
from src.domain.errors import Conflict
from src.http.application import Application
from src.http.call import Answer, Call
from src.http.endpoint import constant, endpoint
from tests.conftest import Api, serving
from tests.support.postgres import settings

# The same endpoint by Litestar's search and without it.
PATHS = ("/functions/v1/try-greeting", "/functions/v1/try-greeting/")
LAYERS = ("endpoint", "controller", "router", "application")


class Greeting(msgspec.Struct, frozen=True):
    text: str


def greeting(*, of_controller: dict[str, Any] | None = None, **of_endpoint: Any) -> type[Controller]:
    """A family of one endpoint, with declarations."""

    class GreetingController(Controller):
        for name, value in (of_controller or {}).items():
            locals()[name] = value

        @endpoint("try-greeting", audit="try.greeting", **of_endpoint)
        async def greet(self, call: Call, whom: NamedDependency[str]) -> Answer[Greeting]:
            """Greet."""
            call.note(whom=whom)
            if whom == "nobody":
                message = "Nobody is there"
                raise Conflict(message)
            return Answer(msgspec.json.encode(Greeting(f"Hello {whom}")))

    return GreetingController


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def declared(layer: str, **what: Any) -> None:
        of = {one: what if one == layer else {} for one in LAYERS}

        class Declaring(Application):
            def __init__(self, **rest: Any) -> None:
                for name, value in {"dependencies": {"whom": constant("world")}, **of["application"]}.items():
                    together = {**rest[name], **value} if isinstance(value, dict) and name in rest else value
                    rest[name] = [*rest[name], *value] if isinstance(value, list) and name in rest else together
                super().__init__(**rest)

        class DeclaringRouter(Router):
            def __init__(self, path: str, **rest: Any) -> None:
                for name, value in of["router"].items():
                    rest[name] = [*rest[name], *value] if isinstance(value, list) and name in rest else value
                super().__init__(path, **rest)

        monkeypatch.setattr(app, "Application", Declaring)
        monkeypatch.setattr(app, "Router", DeclaringRouter)
        family = greeting(of_controller=of["controller"], **of["endpoint"])
        monkeypatch.setattr(app, "CONTROLLERS", [*app.CONTROLLERS, family])

    return declared


async def greeted(database: str, path: str) -> tuple[int, Any]:
    async with serving(database) as api:
        answer = await api.http.post(path, headers=Api.anonymous)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layer", LAYERS)
async def test_a_dependency_is_given(database: str, declare: Callable[..., None], layer: str, path: str) -> None:
    declare(layer, dependencies={"whom": constant("Amina")})
    assert await greeted(database, path) == (200, {"text": "Hello Amina"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layer", LAYERS)
async def test_a_guard_guards(database: str, declare: Callable[..., None], layer: str, path: str) -> None:
    async def nobody(connection: ASGIConnection[Any, Any, Any, Any], _: object) -> None:
        assert connection.headers["apikey"]
        raise PermissionDeniedException

    declare(layer, guards=[nobody])
    status, body = await greeted(database, path)
    assert (status, body["code"]) == (403, "AUTH_REQUIRED")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layer", LAYERS)
async def test_an_exception_handler_answers(database: str, declare: Callable[..., None], layer: str, path: str) -> None:
    def teapot(_: Request[Any, Any, Any], error: Conflict) -> Response[Any]:
        return Response({"said": str(error)}, status_code=418)

    declare(layer, dependencies={"whom": constant("nobody")}, exception_handlers={Conflict: teapot})
    assert await greeted(database, path) == (418, {"said": "Nobody is there"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layer", LAYERS)
async def test_middleware_is_passed(database: str, declare: Callable[..., None], layer: str, path: str) -> None:
    seen: list[str] = []

    def noting(app: ASGIApp) -> ASGIApp:
        def noted(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            seen.append(scope["path"])
            return app(scope, receive, send)

        return noted

    declare(layer, middleware=[noting])
    assert (await greeted(database, path))[0] == 200
    assert len(seen) == 1


class Refused:
    """Declarations that Litestar's own handlers obey, and an endpoint cannot."""

    async def hook(*_: object) -> None: ...

    EVERYWHERE: ClassVar[dict[str, Any]] = {
        "before_request": hook,
        "after_request": hook,
        "after_response": hook,
        "cache_control": CacheControlHeader(max_age=60),
        "response_headers": [ResponseHeader(name="x-of-ours", value="1")],
        "type_encoders": {set: list},
        "dependencies": {"whom": Provide(lambda: "Amina", sync_to_thread=False)},
    }


@pytest.mark.parametrize("name", Refused.EVERYWHERE)
@pytest.mark.parametrize("layer", LAYERS)
def test_what_would_have_no_effect_is_refused(declare: Callable[..., None], layer: str, name: str) -> None:
    if (layer, name) == ("application", "type_encoders"):
        pytest.skip("Litestar's own plugins declare some there")
    declare(layer, **{name: Refused.EVERYWHERE[name]})
    with pytest.raises(ImproperlyConfiguredException, match="whom" if name == "dependencies" else name):
        app.create(settings("postgresql://nobody@127.0.0.1:9/none"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deprecated", True),
        ("description", "Another one"),
        ("media_type", "text/plain"),
        ("operation_id", "another"),
        ("raises", [NotFoundException]),
        ("request_class", type("Other", (Request,), {})),
        ("response_description", "Another one"),
        ("security", [{"none": []}]),
        ("summary", "Another one"),
    ],
)
def test_what_the_document_would_not_say_is_refused(declare: Callable[..., None], name: str, value: object) -> None:
    declare("endpoint", **{name: value})
    with pytest.raises(ImproperlyConfiguredException, match=f"{name} of Endpoint would have no effect"):
        app.create(settings("postgresql://nobody@127.0.0.1:9/none"))


def test_a_method_that_is_not_async_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blocking(Controller):
        @endpoint("blocking", audit="blocking", sync_to_thread=False)
        def greet(self, call: Call) -> Answer[Greeting]:
            raise AssertionError(call)

    monkeypatch.setattr(app, "CONTROLLERS", [*app.CONTROLLERS, Blocking])
    with pytest.raises(ImproperlyConfiguredException, match="async"):
        app.create(settings("postgresql://nobody@127.0.0.1:9/none"))


def test_a_cache_is_refused(declare: Callable[..., None]) -> None:
    declare("endpoint", cache=60)
    with pytest.raises(ImproperlyConfiguredException, match="cache of Endpoint would have no effect"):
        app.create(settings("postgresql://nobody@127.0.0.1:9/none"))


def test_an_endpoint_is_found_by_its_name() -> None:
    found = app.create(settings("postgresql://nobody@127.0.0.1:9/none")).get_handler_index_by_name("bff-checkout")
    assert found is not None
    assert found["paths"] == ["/functions/v1/bff-checkout"]
