"""The OpenAPI 3.1 document: Litestar's, with failures, headers and real examples.

examples.json holds recorded calls (`python -m tests.support.examples` records them again). `/rest/v1` describes itself
at its root.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import (
    Components,
    Contact,
    License,
    OpenAPIFormat,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Server,
    Tag,
)

from src.http.call import Access
from src.http.docs import SwaggerUi
from src.http.problems import TABLE, Problem
from src.http.schemas import attributes
from src.http.storage_problems import NAMES, StorageProblem

if TYPE_CHECKING:
    from src.http.endpoint import Endpoint

OTHER_CODES = dict.fromkeys((405, 408, 413, 415), "INPUT_INVALID")
OF_EVERY_METHOD = (400, 405, 429, 500, 503)
OF_KNOWN_CALLERS = (401, 403)
OF_BODIES = (408, 409, 413, 415)
MEANINGS = {
    400: "The input is at fault; `errors` lists every fault",
    401: "No valid key or token",
    402: "The card was declined",
    403: "The caller has no right to this",
    404: "No such thing, or not the caller's",
    405: "Another method is wanted; see `Allow`",
    408: "The body came too slowly",
    409: "Not possible in this state, or an Idempotency-Key used for something else",
    413: "The body is too large",
    415: "The body is not JSON, or is encoded",
    429: "Too many calls; wait `Retry-After` seconds",
    500: "A fault of ours",
    502: "The provider failed or refused",
    503: "Try again after `Retry-After` seconds",
    504: "The supplier did not answer in time",
}
REQUEST_ID_EXAMPLE = "7c0a0f5e-5f0e-4f3c-9f3c-0d1f8f6f2a11"
JSON = "application/json"
HEAD = "-head"
FILE = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
ANY_JSON = OpenAPIMediaType(schema=Schema(), example={})
IN_PATHS = {"bucket": "invoices", "path": "2026/INV-20260131-0001.pdf", "fn": "bff-checkout"}
REQUEST_ID = {"x-request-id": Reference("#/components/headers/RequestId")}


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded call: query or body, and its answer."""

    answer: dict[str, object]
    query: dict[str, str] = {}
    body: dict[str, object] | None = None


@cache
def _examples() -> Mapping[str, Example]:
    return msgspec.json.decode(Path(__file__).with_name("examples.json").read_bytes(), type=dict[str, Example])


def operation_of(
    endpoint: Endpoint,
    *,
    operation_id: str,
    tags: list[str] | None,
    responses: Mapping[str, OpenAPIResponse],
    parameters: Sequence[Parameter | Reference] | None = None,
    request_body: RequestBody | None = None,
    **_: object,
) -> Operation | None:
    """Litestar's operation of an endpoint, with what only the endpoint declares."""
    if operation_id.endswith(HEAD):
        return None
    text = inspect.getdoc(endpoint.fn) or endpoint.name
    who = endpoint.access.value if isinstance(endpoint.access, Access) else "decided by the switches in force"
    example = _examples().get(endpoint.name)
    possible = {*OF_EVERY_METHOD, *endpoint.errors}
    if endpoint.access is not Access.OPEN:
        possible.update(OF_KNOWN_CALLERS)
    summary, description = _described(f"{text}\n\nCaller: {who}.")
    asked = list(parameters or ())
    if request_body is not None:
        possible.update(OF_BODIES)
        if example is not None:
            request_body.content[JSON].example = example.body
    if endpoint.keyed and endpoint.access is not Access.OPEN and endpoint.method == "POST":
        asked.append(Reference("#/components/parameters/IdempotencyKey"))
    (made,) = (responses[str(endpoint.status_code)].content or {}).values()
    answers = {
        str(status): OpenAPIResponse(
            "Done" if status == endpoint.statuses[0] else MEANINGS.get(status, "Taken, not yet done"),
            headers=dict(REQUEST_ID),
            content=_content(endpoint, made.schema, status, example),
        )
        for status in endpoint.statuses
    }
    return Operation(
        operation_id=endpoint.name,
        tags=tags,
        summary=summary,
        description=description,
        parameters=asked or None,
        request_body=request_body,
        responses={**refusals(possible), **answers},
        security=[] if endpoint.access is Access.OPEN else None,
    )


def _content(
    endpoint: Endpoint, schema: Schema | Reference | None, status: int, example: Example | None
) -> dict[str, OpenAPIMediaType]:
    if endpoint.answers_text:
        return {"text/plain": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))}
    if status in MEANINGS:
        schema = Schema(any_of=[schema or Schema(), _reference(Problem)])
    return {JSON: OpenAPIMediaType(schema=schema, example=None if example is None else example.answer)}


def refusals(statuses: Iterable[int], kind: str = "Problem") -> dict[str, Reference]:
    """The responses of failures, in the form of `Problem` or `Storage`."""
    return {str(status): Reference(f"#/components/responses/{kind}{status}") for status in sorted(set(statuses))}


def _described(text: str) -> tuple[str, str]:
    summary, _, rest = text.partition("\n")
    return summary.rstrip("."), rest.strip() or summary


def json_body(kind: type[msgspec.Struct], example: object) -> RequestBody:
    """A body that a handler reads itself."""
    schema = Schema(**attributes(msgspec.json.schema(kind)["$defs"][kind.__name__]))
    return RequestBody({JSON: OpenAPIMediaType(schema=schema, example=example)}, required=True)


def query_parameters(kind: type[msgspec.Struct]) -> list[Parameter]:
    """The query of a handler that reads it itself."""
    described = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return [
        Parameter(name, param_in="query", required=False, schema=Schema(**attributes(field)))
        for name, field in described.items()
    ]


def _operation_id(handler: HTTPRouteHandler, method: str, _: Sequence[object]) -> str:
    return f"{handler.name}{HEAD}" if method == HttpMethod.HEAD else str(handler.name)


def _reference(kind: type[msgspec.Struct]) -> Reference:
    return Reference(f"#/components/schemas/{kind.__name__}")


def _problem(status: int) -> OpenAPIResponse:
    codes = sorted({code for _, of_code, code in TABLE if of_code == status} or {OTHER_CODES.get(status, "UNKNOWN")})
    message = MEANINGS[status]
    example = Problem(code=codes[0], error=message, errors=[message], request_id=REQUEST_ID_EXAMPLE)
    later = {"retry-after": Reference("#/components/headers/RetryAfter")} if status in (429, 503) else {}
    return OpenAPIResponse(
        f"{message} ({' or '.join(codes)})",
        headers={**REQUEST_ID, **later},
        content={JSON: OpenAPIMediaType(schema=_reference(Problem), example=msgspec.to_builtins(example))},
    )


def _storage_problem(status: int) -> OpenAPIResponse:
    name = NAMES.get(status, "InternalError")
    example = StorageProblem(str(status), name, name)
    return OpenAPIResponse(
        name,
        headers=dict(REQUEST_ID),
        content={JSON: OpenAPIMediaType(schema=_reference(StorageProblem), example=msgspec.to_builtins(example))},
    )


def configuration() -> OpenAPIConfig:
    """The document's general parts, and its two renderings."""
    return OpenAPIConfig(
        title="ecoTrips Ops",
        version=version("ecotrips-ops"),
        summary="Backend of a tour operator's ops console",
        description="Amounts are minor units of their currency; times are ISO 8601 UTC. Body fields may also be "
        "spelled in camelCase. Every call leaves one AUDIT line with the answer's `request_id`. The tables, views "
        "and functions of /rest/v1 are described at /rest/v1/.",
        contact=Contact("ecoTrips Ops"),
        operation_id_creator=_operation_id,
        use_handler_docstrings=True,
        path="/docs",
        render_plugins=[SwaggerUi()],
        license=License("Apache-2.0", identifier="Apache-2.0"),
        servers=[Server("/")],
        security=[{"apikey": []}, {"bearer": []}],
        tags=[
            Tag("functions", "What operators and clients do"),
            Tag("storage", "Stored documents and their signed links"),
            Tag("service", "Who is calling, and whether the service is well"),
        ],
        components=Components(
            responses={
                **{f"Problem{status}": _problem(status) for status in MEANINGS},
                **{f"Storage{status}": _storage_problem(status) for status in (*NAMES, 408, 500)},
            },
            headers={
                "RequestId": OpenAPIHeader(
                    description="This call's id, in its AUDIT line too", schema=Schema(type=OpenAPIType.STRING)
                ),
                "RetryAfter": OpenAPIHeader(description="Seconds", schema=Schema(type=OpenAPIType.INTEGER, minimum=1)),
            },
            parameters={
                "IdempotencyKey": Parameter(
                    "Idempotency-Key",
                    param_in="header",
                    description="The first answer for this key is given again for 24 hours",
                    schema=Schema(type=OpenAPIType.STRING, pattern="^[!-~]{1,255}$"),
                    example="order-4711",
                )
            },
            security_schemes={
                "apikey": SecurityScheme(
                    type="apiKey", security_scheme_in="header", name="apikey", description="The anon or service key"
                ),
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            },
        ),
    )


def operation_with(
    *refused: int,
    kind: str = "Problem",
    open_to_all: bool = False,
    query: type[msgspec.Struct] | None = None,
    body: RequestBody | None = None,
    files: Sequence[str] = (),
    examples: Mapping[int, object] | None = None,
) -> type[Operation]:
    """The `operation_class` of a handler that is no endpoint.

    It says the failures, of `Problem` or of `Storage`, whether no key is asked for, what the handler reads by itself of
    `query` and `body`, the media types of the `files` that it answers, and an example by status.
    """

    def made(
        *,
        operation_id: str,
        description: str | None,
        parameters: Sequence[Parameter | Reference] | None,
        responses: dict[str, OpenAPIResponse],
        tags: list[str] | None,
        **_: object,
    ) -> Operation | None:
        # HEAD needs no description of its own.
        if operation_id.endswith(HEAD):
            return None
        summary, rest = _described(description or "")
        for parameter in parameters or ():
            if isinstance(parameter, Parameter) and parameter.name in IN_PATHS:
                parameter.schema, parameter.example = Schema(type=OpenAPIType.STRING), IN_PATHS[parameter.name]
        for status, example in (examples or {}).items():
            for shown in (responses[str(status)].content or {}).values():
                shown.example = example
        answers = {status: made for status, made in responses.items() if int(status) not in refused}
        for answer in answers.values() if files else ():
            answer.content = {kind: ANY_JSON if kind == JSON else FILE for kind in files}
        return Operation(
            operation_id=operation_id,
            tags=tags or ["service"],
            summary=summary,
            description=rest,
            parameters=[*(parameters or ()), *(query_parameters(query) if query is not None else ())] or None,
            request_body=body,
            responses={**answers, **refusals(refused, kind)},
            security=[] if open_to_all else None,
        )

    # Litestar calls it like the class.
    return cast("type[Operation]", made)
