"""JSON schemas of columns and arguments, as in PostgREST's OpenAPI document."""

from __future__ import annotations

import json

from src.rest.catalog.model import Cardinality, Catalog, Column, Name, Routine, Table

Json = dict[str, object]
TYPES = {
    "character varying": "string",
    "character": "string",
    "text": "string",
    "boolean": "boolean",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
}
FORMATS = {"smallint": "int32", "integer": "int32", "bigint": "int64"}
ANY_TYPE = frozenset({"json", "jsonb"})


def arguments_schema(routine: Routine) -> Json:
    """The object that a POST to the function takes."""
    schema: Json = {
        "type": "object",
        "properties": {parameter.name: typed(parameter.shown_type) for parameter in routine.parameters},
    }
    required = [parameter.name for parameter in routine.parameters if parameter.required]
    if required:
        schema["required"] = required
    if routine.description:
        schema["description"] = routine.description
    return schema


def property_of(catalog: Catalog, table: Table, column: Column) -> Json:
    """A column's type, comment, default, and its keys."""
    schema = typed(column.shown_type)
    notes = []
    if column.name in table.primary_key:
        notes.append("This is a Primary Key.<pk/>")
    target = _foreign_key(catalog, table.name, column.name)
    if target is not None:
        relation, name = target
        notes.append(f"This is a Foreign Key to `{relation}.{name}`.<fk table='{relation}' column='{name}'/>")
    if notes:
        comment = f"{column.description}\n\n" if column.description else ""
        schema["description"] = comment + "\n".join(["Note:", *notes])
    elif column.description:
        schema["description"] = column.description
    if column.default is not None:
        default = _default(column)
        if default is not None:
            schema["default"] = default
    if column.enum:
        schema["enum"] = list(column.enum)
    if column.max_length is not None:
        schema["maxLength"] = column.max_length
    return schema


def _foreign_key(catalog: Catalog, table: Name, column: str) -> tuple[str, str] | None:
    """What a column alone refers to; tables come before views."""
    found = [
        relationship
        for relationship in catalog.relationships.get((table, table.schema), ())
        if [own for own, _ in relationship.columns] == [column]
        and (
            relationship.cardinality is Cardinality.MANY_TO_ONE
            or (relationship.cardinality is Cardinality.ONE_TO_ONE and not relationship.is_parent)
        )
    ]
    if not found:
        return None
    first = min(found, key=lambda relationship: relationship.foreign_is_view)
    return first.foreign.name, first.columns[0][1]


def _default(column: Column) -> object:
    """A default that is a constant and valid JSON."""
    text = column.default or ""
    if type_of(column.shown_type) == "string":
        suffix = f"::{column.shown_type}"
        return text.removesuffix(suffix).strip("'") if text.endswith(suffix) else text
    try:
        return json.loads(text)
    except ValueError:
        return None


def typed(shown: str) -> Json:
    schema: Json = {"format": format_of(shown)}
    kind = type_of(shown)
    if kind is not None:
        schema["type"] = kind
    if kind == "array":
        element = type_of(shown.removesuffix("[]"))
        schema["items"] = {"type": element} if element else {}
    return schema


def type_of(shown: str) -> str | None:
    if shown in ANY_TYPE:
        return None
    return TYPES.get(shown) or ("array" if shown.endswith("[]") else "string")


def format_of(shown: str) -> str:
    return FORMATS.get(shown, shown)
