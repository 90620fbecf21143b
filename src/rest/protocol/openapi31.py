"""The same description in OpenAPI 3.1."""

from __future__ import annotations

import json
from collections.abc import Iterable

from src.rest.catalog.model import Routine, Table
from src.rest.protocol.openapi import Subject, described
from src.rest.protocol.openapi_schemas import Json, arguments_schema, property_of

MEDIA_TYPE = "application/vnd.oai.openapi+json"
CONTENT_TYPE = f"{MEDIA_TYPE};version=3.1"
PLAIN_PARAMETERS = {
    "select": "Columns and embedded resources",
    "order": "Order",
    "limit": "Largest number of rows",
    "offset": "Rows to skip",
}
ERROR = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "details": {},
        "hint": {"type": ["string", "null"]},
    },
    "required": ["code", "message"],
}


def document_3_1(subject: Subject) -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": f"Schema {subject.schema}", "version": subject.version},
        "servers": [{"url": subject.server}],
        "paths": {
            **{f"/{table.name.name}": _table_path(table) for table in subject.tables},
            **{f"/rpc/{routine.name.name}": _routine_path(routine) for routine in subject.routines},
        },
        "components": {
            "schemas": {
                **{table.name.name: _schema(subject, table) for table in subject.tables},
                "error": ERROR,
            },
            "parameters": {
                name: {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
                for name, text in PLAIN_PARAMETERS.items()
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _schema(subject: Subject, table: Table) -> Json:
    schema: Json = {"type": "object"}
    properties: dict[str, Json] = {}
    for name, column in table.columns.items():
        shown = property_of(subject.catalog, table, column)
        if column.nullable and "type" in shown:
            shown["type"] = [shown["type"], "null"]
        properties[name] = shown
    schema["properties"] = properties
    required = [column.name for column in table.columns.values() if not column.nullable]
    if required:
        schema["required"] = required
    return schema | ({"description": table.description} if table.description else {})


def _table_path(table: Table) -> Json:
    name = table.name.name
    rows: Json = {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
    shared: Json = {"tags": [name], **described(table.description)}
    filters = [
        {"name": column, "in": "query", "description": "operator.value", "schema": {"type": "string"}}
        for column in table.columns
    ]
    plain = [{"$ref": f"#/components/parameters/{parameter}"} for parameter in PLAIN_PARAMETERS]
    written: Json = {"content": _json({"oneOf": [rows["items"], rows]}), "required": True}
    path: Json = {
        "get": {**shared, "parameters": [*filters, *plain], "responses": _answers({"200": rows, "206": rows})}
    }
    if table.insertable:
        path["post"] = {**shared, "requestBody": written, "responses": _answers({"201": rows})}
    if table.updatable:
        path["patch"] = {
            **shared,
            "parameters": filters,
            "requestBody": written,
            "responses": _answers({"200": rows, "204": None}),
        }
    if table.deletable:
        path["delete"] = {**shared, "parameters": filters, "responses": _answers({"200": rows, "204": None})}
    return path


def _routine_path(routine: Routine) -> Json:
    shared: Json = {"tags": [f"(rpc) {routine.name.name}"], **described(routine.description)}
    arguments = arguments_schema(routine)
    answers = _answers({"200": {}})
    path: Json = {"post": {**shared, "requestBody": {"content": _json(arguments)}, "responses": answers}}
    if routine.volatility != "v":
        parameters = [
            {"name": p.name, "in": "query", "required": p.required, "schema": {"type": "string"}}
            for p in routine.parameters
        ]
        path["get"] = {**shared, "parameters": parameters, "responses": answers}
    return path


def _answers(schemas: dict[str, Json | None]) -> Json:
    answers: Json = {
        status: {"description": "Success"} | ({} if schema is None else {"content": _json(schema)})
        for status, schema in schemas.items()
    }
    error = {"$ref": "#/components/schemas/error"}
    return answers | {"default": {"description": "Refused or failed", "content": _json(error)}}


def _json(schema: object) -> Json:
    return {"application/json": {"schema": schema}}


def wanted(accepted: Iterable[str]) -> bool:
    """Whether the client prefers this version to all other JSON."""
    return any(name.lower().startswith(MEDIA_TYPE) for name in accepted)
