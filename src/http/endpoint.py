"""Endpoints of /functions/v1: controllers' methods, processed by the edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast, get_type_hints

import msgspec
from litestar import Litestar, Request
from litestar._asgi.utils import wrap_in_exception_handler
from litestar.di import NamedDependency, Provide
from litestar.enums import HttpMethod
from litestar.exceptions import ImproperlyConfiguredException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter
from litestar.types import Empty
from litestar.typing import FieldDefinition

from src.http import wire
from src.http.call import Access, Answer, Call
from src.http.decode import from_body, from_query
from src.http.openapi import operation_of
from src.http.problems import Problem
from src.http.schemas import attributes

if TYPE_CHECKING:
    from litestar import Controller
    from litestar._kwargs import KwargsModel
    from litestar.openapi.spec import Operation
    from litestar.types import AnyCallable, ASGIApp, Middleware
    from litestar.types.internal_types import PathParameterDefinition
    from litestar.utils.signature import ParsedSignature

    from src.http.edge import Edge

GET = HttpMethod.GET
# What the edge passes to a method: the call, and the body or query as a struct.
CALL, DATA, PARAMS = "call", "data", "params"
# Litestar's markers of where each comes from.
MARKERS: dict[str, Any] = {CALL: NamedDependency, DATA: JSONBody, PARAMS: NamedDependency}
# Options of Litestar that the edge replaces.
WITHOUT_EFFECT = frozenset(
    {
        "after_request",
        "after_response",
        "background",
        "before_request",
        "cache",
        "cache_control",
        "cache_key_builder",
        "deprecated",
        "description",
        "dto",
        "etag",
        "media_type",
        "operation_id",
        "parameters",
        "raises",
        "request_class",
        "request_max_body_size",
        "response_class",
        "response_cookies",
        "response_headers",
        "response_description",
        "return_dto",
        "security",
        "summary",
        "type_decoders",
        "type_encoders",
    }
)
# Litestar's own dependencies.
FILLED_IN = frozenset({"request_max_body_size", "type_decoders", "type_encoders"})
# Registers the schema of failures.
FAILURE = {500: ResponseSpec(Problem, generate_examples=False)}
UNDECLARED: tuple[object, ...] = (None, False, Empty, "", [], {}, frozenset(), Request)

Run: TypeAlias = "Callable[[Call], Awaitable[Answer[object]]]"


class Constant(Provide):
    """A dependency that was made at start-up.

    Each is a class of its own, because Litestar compares all dependencies for every handler, which would be slow.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def constant(value: object) -> Provide:
    """A dependency that was made at start-up."""
    return Constant(lambda: value, use_cache=True, sync_to_thread=False)


class Endpoint(HTTPRouteHandler):
    """How a controller's method is called at /functions/v1/`path`.

    The method takes `call: Call`, a POST's body as `data` or a GET's query as `params`, each a struct, and by name
    whatever the layers above provide and start-up has made. It gives an `Answer` of a struct, which documents it. Its
    docstring is the description.

    `access` is the least a caller must be, or finds it out from dependencies. `audit` names its AUDIT line.
    `per_minute` is its limit for one caller, None for what the service alone may call. A POST honours Idempotency-Key
    unless it is not `keyed`, because it changes nothing. `atomic` says that one SQL call is its whole effect and
    answer, so that the first answer is kept in that call's own transaction. Others rest on the natural keys of their
    steps. A method that reads the body by itself, because something comes before that, says with `reads` which struct
    documents it.
    `largest_body` is in bytes. `statuses` are those that come with an answer, `errors` the failures beyond those that
    any endpoint may give.

    `functions` are the SQL functions, `schema.name`, that take the input on; each belongs to one endpoint. They refuse
    what the struct refuses, and a call of them by /rest/v1/rpc takes from this endpoint's limit.

    Guards, middleware, exception handlers and dependencies of every layer are Litestar's own. What else can be declared
    and would have no effect here is refused when the application is made.
    """

    name: str

    __slots__ = (
        "_served",
        "access",
        "allowed",
        "atomic",
        "audit",
        "errors",
        "functions",
        "keyed",
        "largest_body",
        "per_minute",
        "reads",
        "statuses",
    )

    def __init__(
        self,
        path: str,
        *,
        audit: str,
        name: str | None = None,
        method: HttpMethod = HttpMethod.POST,
        access: Access | Callable[..., Awaitable[Access]] = Access.ANY,
        per_minute: int | None = 60,
        keyed: bool = True,
        atomic: bool = False,
        reads: type[msgspec.Struct] | None = None,
        largest_body: int = wire.MAX_BODY_SIZE,
        statuses: Sequence[int] = (200,),
        errors: Sequence[int] = (),
        functions: Sequence[str] = (),
        **declared: Any,  # noqa: ANN401 - as Litestar's own handler takes them
    ) -> None:
        self.access, self.audit = access, audit
        # The methods of its path over all endpoints, set by the router.
        self.allowed = ""
        self.per_minute, self.largest_body = per_minute, largest_body
        self.keyed, self.reads = keyed, reads
        self.atomic = atomic
        self.statuses, self.errors, self.functions = statuses, errors, functions
        super().__init__(
            path, http_method=method, status_code=statuses[0], name=name or path, responses=FAILURE, **declared
        )

    @property
    def method(self) -> str:
        (method,) = self.http_methods
        return method

    @property
    def takes(self) -> Sequence[str]:
        """Its methods; GET implies HEAD (RFC 9110, 9.3.2)."""
        return (GET, HttpMethod.HEAD) if self.method == GET else (self.method,)

    @property
    def input(self) -> type[msgspec.Struct] | None:
        """The struct of body or query."""
        parameters = self.parsed_fn_signature.parameters
        found = parameters.get(DATA) or parameters.get(PARAMS)
        return None if found is None else found.annotation

    @property
    def answer(self) -> type[msgspec.Struct]:
        """The struct of the answer. Raises TypeError for an endpoint that answers text."""
        kind: type = self.parsed_fn_signature.return_type.annotation
        if not issubclass(kind, msgspec.Struct):
            raise TypeError(kind)
        return kind

    @property
    def answers_text(self) -> bool:
        return self.parsed_fn_signature.return_type.annotation is str

    @property
    def parsed_fn_signature(self) -> ParsedSignature:
        """The method's signature, with the answer's struct for `Answer`, and the edge's values as dependencies."""
        if self._parsed_fn_signature is Empty:
            found = super().parsed_fn_signature
            parameters = dict(found.parameters)
            if self.reads is not None:
                parameters[DATA] = FieldDefinition.from_kwarg(self.reads, DATA)
            for name in parameters.keys() & MARKERS.keys():
                marked = MARKERS[name][parameters[name].annotation]
                parameters[name] = FieldDefinition.from_kwarg(marked, name)
            self._parsed_fn_signature = replace(
                found, parameters=parameters, return_type=found.return_type.inner_types[0]
            )
        return self._parsed_fn_signature

    def __call__(self, fn: AnyCallable) -> Endpoint:
        super().__call__(fn)
        given = {CALL: Provide(_by_the_edge, sync_to_thread=False)}
        kind = get_type_hints(fn, include_extras=True).get(PARAMS)
        if kind is not None:
            given[PARAMS] = Provide(_documented(kind), sync_to_thread=False)
        self.dependencies = {**given, **(self.dependencies or {})}
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Endpoint:
        """A copy for each application, of which only the owner differs."""
        # Shared by all copies.
        _ = self.parsed_fn_signature
        made = copy(self)
        memo[id(self)] = made
        made.owner = deepcopy(self.owner, memo)
        return made

    def on_registration(self, app: Litestar) -> None:
        """Raises ImproperlyConfiguredException for declarations without an effect."""
        self._refuse_what_has_no_effect()
        super().on_registration(app)
        if not iscoroutinefunction(self.fn):
            message = f"{self}: an endpoint's method is async"
            raise ImproperlyConfiguredException(message)
        provided = self.resolve_dependencies()
        if callable(self.access):
            self.access = partial(self.access, **self._constants(signature(self.access).parameters, provided))
        edge = cast("Edge", self._constant("edge", provided))
        # Each application has a copy of this handler with its own edge.
        self.operation_class = cast("type[Operation]", partial(operation_of, self))
        self._served = wrap_in_exception_handler(cast("ASGIApp", edge.serve(self, self._run(provided))))

    def create_kwargs_model(self, path_parameters: dict[str, PathParameterDefinition]) -> KwargsModel:  # noqa: ARG002
        """Skips Litestar's model of arguments, which is not used and slow to make."""
        return cast("KwargsModel", None)

    def resolve_middleware(self) -> list[Middleware]:
        """Litestar's middleware around the edge, which replaces Litestar's call of the method."""
        return [cast("Middleware", self._in_place_of), *super().resolve_middleware()]

    def _in_place_of(self, app: ASGIApp) -> ASGIApp:  # noqa: ARG002 - as Litestar calls a middleware
        return self._served

    def _run(self, provided: Mapping[str, Provide]) -> Run:
        """The method with its constant dependencies."""
        parameters, kind = self.parsed_fn_signature.parameters, self.input
        method = partial(self.fn, **self._constants(parameters, provided))
        if kind is None or self.reads is not None:
            return lambda call: method(call=call)
        if DATA in parameters:
            body = partial(from_body, kind)
            return lambda call: method(call=call, data=body(call.body))
        query = partial(from_query, kind)
        return lambda call: method(call=call, params=query(call.query))

    def _constants(self, names: Iterable[str], provided: Mapping[str, Provide]) -> dict[str, object]:
        return {name: self._constant(name, provided) for name in names if name not in (CALL, DATA, PARAMS)}

    def _constant(self, name: str, provided: Mapping[str, Provide]) -> object:
        provider = provided.get(name)
        if provider is None or not provider.use_cache or provider.parsed_fn_signature.parameters:
            message = f"{self}: {name} is no dependency that start-up has made (src.http.endpoint.constant)"
            raise ImproperlyConfiguredException(message)
        return provider.dependency()

    def _refuse_what_has_no_effect(self) -> None:
        for layer in self.ownership_layers:
            names = WITHOUT_EFFECT - FILLED_IN if isinstance(layer, Litestar) else WITHOUT_EFFECT
            declared = [name for name in sorted(names) if getattr(layer, name, None) not in UNDECLARED]
            if declared:
                message = f"{self}: {', '.join(declared)} of {type(layer).__name__} would have no effect on an endpoint"
                raise ImproperlyConfiguredException(message)


endpoint = Endpoint


def endpoints_of(controllers: Iterable[type[Controller]]) -> Iterator[Endpoint]:
    """The declared endpoints in their order."""
    for controller in controllers:
        yield from (found for found in vars(controller).values() if isinstance(found, Endpoint))


def _by_the_edge() -> None:
    """A placeholder for values of the edge."""


def _documented(kind: type[msgspec.Struct]) -> Callable[..., object]:
    """A placeholder for the query's struct, whose fields are the documented parameters."""

    def read(**given: object) -> object:
        return given

    properties = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    described = {name: attributes(schema) for name, schema in properties.items()}
    fields = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.required else field.default,
            annotation=Annotated[
                field.type, QueryParameter(name=field.encode_name, schema_extra=described[field.encode_name])
            ],
        )
        for field in msgspec.structs.fields(kind)
    ]
    read.__signature__ = Signature(fields)  # type: ignore[attr-defined] # what inspect looks for on a function
    read.__annotations__ = {field.name: field.annotation for field in fields}
    return read
