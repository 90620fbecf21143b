"""The OpenAPI 3.1 document, made once at start from the endpoints' declarations.

examples.json holds calls as they were really made (`python -m tests.examples` makes it again), neighbours.json what is
no function: storage, the caller, health. `/rest/v1` describes itself, at its root, from the database's catalog.
"""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from src.http.call import Access
from src.http.endpoint import Endpoint
from src.http.me import User
from src.http.problems import TABLE, Problem
from src.http.storage import SignInput
from src.http.storage_problems import StorageProblem

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
FOLDER = Path(__file__).parent
SCHEMAS = "#/components/schemas/{name}"
JSON = "application/json"


class Neighbours(msgspec.Struct, frozen=True):
    """Path items, and the responses that they refer to."""

    paths: dict[str, object]
    responses: dict[str, object]


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that was really made: query or body, and its answer."""

    answer: dict[str, object]
    query: dict[str, str] = {}
    body: dict[str, object] | None = None


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, object]:
    """The whole document as JSON-ready objects."""
    listed = list(endpoints)
    bodies = [e.input for e in listed if e.input is not None and e.method != "GET"]
    structs = [*bodies, *(e.answer for e in listed if not e.answers_text)]
    _, schemas = msgspec.json.schema_components(
        [*structs, Problem, StorageProblem, SignInput, User], ref_template=SCHEMAS
    )
    examples = msgspec.json.decode((FOLDER / "examples.json").read_bytes(), type=dict[str, Example])
    neighbours = msgspec.json.decode((FOLDER / "neighbours.json").read_bytes(), type=Neighbours)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ecoTrips Ops",
            "version": version,
            "summary": "Backend of a tour operator's ops console",
            "description": "Amounts are minor units of their currency; times are ISO 8601 UTC. Body fields may also be "
            "spelled in camelCase. Every call leaves one AUDIT line with the answer's `request_id`. The tables, views "
            "and functions of /rest/v1 are described at /rest/v1/.",
            "contact": {"name": "ecoTrips Ops"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apikey": []}, {"bearer": []}],
        "tags": [
            {"name": "functions", "description": "What operators and clients do"},
            {"name": "storage", "description": "Stored documents and their signed links"},
            {"name": "service", "description": "Who is calling, and whether the service is well"},
        ],
        "paths": {
            **_path_items(listed, examples),
            **neighbours.paths,
        },
        "components": {
            "schemas": schemas,
            "responses": {
                **{f"Problem{status}": _problem(status) for status in MEANINGS},
                **neighbours.responses,
            },
            "headers": {
                "RequestId": {"description": "This call's id, in its AUDIT line too", "schema": {"type": "string"}},
                "RetryAfter": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}},
            },
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "The first answer for this key is given again for 24 hours",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
                    "example": "order-4711",
                }
            },
            "securitySchemes": {
                "apikey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "apikey",
                    "description": "The anon or service key",
                },
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _path_items(endpoints: Iterable[Endpoint], examples: Mapping[str, Example]) -> dict[str, dict[str, object]]:
    items: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        (path,) = endpoint.paths
        item = items.setdefault(f"/functions/v1{path}", {})
        item[endpoint.method.lower()] = _operation(endpoint, examples.get(endpoint.name))
    return items


def _operation(endpoint: Endpoint, example: Example | None) -> dict[str, object]:
    text = inspect.getdoc(endpoint.fn) or endpoint.name
    who = endpoint.access.value if isinstance(endpoint.access, Access) else "decided by the switches in force"
    operation = _described(endpoint.name, f"{text}\n\nCaller: {who}.", "functions")
    possible = {*OF_EVERY_METHOD, *endpoint.errors}
    if endpoint.access is Access.OPEN:
        operation["security"] = []
    else:
        possible.update(OF_KNOWN_CALLERS)
    if endpoint.method == "GET":
        if endpoint.input is not None:
            operation["parameters"] = _parameters(endpoint.input)
    else:
        possible.update(OF_BODIES)
        if endpoint.keyed and endpoint.access is not Access.OPEN:
            operation["parameters"] = [{"$ref": "#/components/parameters/IdempotencyKey"}]
        if endpoint.input is not None:
            shown = {} if example is None or example.body is None else {"example": example.body}
            content = {JSON: {"schema": _reference(endpoint.input), **shown}}
            operation["requestBody"] = {"required": True, "content": content}
    shown = {} if example is None else {"example": example.answer}
    answers: dict[str, object] = {
        str(status): {
            "description": "Done" if status == endpoint.statuses[0] else MEANINGS.get(status, "Taken, not yet done"),
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
            "content": {"text/plain": {"schema": {"type": "string"}}}
            if endpoint.answers_text
            else {JSON: {"schema": _answer_schema(endpoint.answer, status), **shown}},
        }
        for status in endpoint.statuses
    }
    operation["responses"] = {**_problems(*possible), **answers}
    return operation


def _answer_schema(kind: type[msgspec.Struct], status: int) -> Mapping[str, object]:
    schema = _reference(kind)
    return {"anyOf": [schema, _reference(Problem)]} if status in MEANINGS else schema


def _described(name: str, text: str, tag: str) -> dict[str, object]:
    summary, _, rest = text.partition("\n")
    return {"operationId": name, "tags": [tag], "summary": summary.rstrip("."), "description": rest.strip() or summary}


def _parameters(kind: type[msgspec.Struct]) -> list[dict[str, object]]:
    schema = msgspec.json.schema(kind)
    described = schema["$defs"][kind.__name__]
    return [
        {"name": name, "in": "query", "required": name in described.get("required", ()), "schema": field}
        for name, field in described["properties"].items()
    ]


def _reference(kind: type[msgspec.Struct]) -> dict[str, object]:
    return {"$ref": SCHEMAS.format(name=kind.__name__)}


def _problems(*statuses: int) -> dict[str, object]:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(set(statuses))}


def _problem(status: int) -> dict[str, object]:
    codes = sorted({code for _, of_code, code in TABLE if of_code == status} or {OTHER_CODES.get(status, "UNKNOWN")})
    message = MEANINGS[status]
    example = Problem(code=codes[0], error=message, errors=[message], request_id=REQUEST_ID_EXAMPLE)
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if status in (429, 503):
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": f"{message} ({' or '.join(codes)})",
        "headers": headers,
        "content": {JSON: {"schema": _reference(Problem), "example": msgspec.to_builtins(example)}},
    }
