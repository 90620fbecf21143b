"""The OpenAPI 3.1 document of /functions/v1, made once at start from the endpoints' declarations."""

import inspect
from collections.abc import Iterable

import msgspec

from src.http.endpoint import Access, Endpoint
from src.http.problems import TABLE, Problem

OTHER_CODES = dict.fromkeys((405, 408, 413, 415), "INPUT_INVALID")
ALWAYS_POSSIBLE = (400, 401, 403, 405, 408, 413, 415, 429, 500, 503)


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, object]:
    """The whole document as JSON-ready objects."""
    listed = list(endpoints)
    structs = [kind for e in listed for kind in (e.input, e.answer) if kind is not None]
    _, components = msgspec.json.schema_components([*structs, Problem], ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ecoTrips Ops",
            "version": version,
            "description": "Backend of a tour operator's ops console. Amounts are minor units; times are ISO 8601 UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apikey": []}, {"bearer": []}],
        "tags": [{"name": "functions"}],
        "paths": {f"/functions/v1/{e.name}": {e.method.lower(): _operation(e)} for e in listed},
        "components": {
            "schemas": components,
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


def _operation(endpoint: Endpoint) -> dict[str, object]:
    text = inspect.getdoc(endpoint.run) or endpoint.name
    summary, _, rest = text.partition("\n")
    who = endpoint.access.value if isinstance(endpoint.access, Access) else "decided by the switches in force"
    operation: dict[str, object] = {
        "operationId": endpoint.name,
        "tags": ["functions"],
        "summary": summary.rstrip("."),
        "description": f"{rest.strip()}\n\nCaller: {who}.".strip(),
        "responses": {
            "200": {
                "description": "Done",
                "headers": {"x-request-id": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": _reference(endpoint.answer)}},
            },
            **{str(status): _failure(status) for status in sorted({*ALWAYS_POSSIBLE, *endpoint.errors})},
        },
    }
    if endpoint.access is Access.OPEN:
        operation["security"] = []
    if endpoint.input is None:
        return operation
    if endpoint.method == "GET":
        operation["parameters"] = _parameters(endpoint.input)
    else:
        operation["parameters"] = [
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}}
        ]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(endpoint.input)}},
        }
    return operation


def _parameters(kind: type[msgspec.Struct]) -> list[dict[str, object]]:
    schema = msgspec.json.schema(kind)
    described = schema["$defs"][kind.__name__]
    return [
        {"name": name, "in": "query", "required": name in described.get("required", ()), "schema": field}
        for name, field in described["properties"].items()
    ]


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _failure(status: int) -> dict[str, object]:
    codes = {code for _, of_code, code in TABLE if of_code == status} or {OTHER_CODES.get(status, "UNKNOWN")}
    return {
        "description": "|".join(sorted(codes)),
        "content": {"application/json": {"schema": _reference(Problem)}},
    }
