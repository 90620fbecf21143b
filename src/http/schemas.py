"""Structs in Litestar's OpenAPI document as msgspec describes them, with bounds, descriptions and examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.openapi.spec import Reference, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

COMPONENTS = "#/components/schemas/{name}"
LISTS = ("allOf", "anyOf", "oneOf")


class StructSchemas(OpenAPISchemaPlugin):
    """Replaces Litestar's plugin, which drops bounds and examples of optional fields and of items."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        kind = field_definition.annotation
        schema = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        _, components = msgspec.json.schema_components([kind], ref_template=COMPONENTS)
        described = components[kind.__name__]
        if kind.__name__.endswith("Input"):
            described = {**described, "properties": {k: _optional(v) for k, v in described["properties"].items()}}
        for name, value in attributes(described).items():
            setattr(schema, name, value)
        for field in msgspec.structs.fields(kind):
            # Registers nested structs.
            schema_creator.for_field_definition(FieldDefinition.from_annotation(field.type))
        return schema


def attributes(described: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of Litestar's Schema for a JSON schema of msgspec."""
    schema = cast("Schema", _schema(described))
    return {field.name: getattr(schema, field.name) for field in dataclasses.fields(schema)}


def _optional(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """An input's field with its default in words: openapi-typescript wants every field that has a `default`."""
    if field.get("default") is None:
        return field
    rest = {name: value for name, value in field.items() if name != "default"}
    said = f"Default: {msgspec.json.encode(field['default']).decode()}"
    return {**rest, "description": f"{rest['description']}. {said}" if "description" in rest else said}


def _schema(described: Mapping[str, Any]) -> Schema | Reference:
    if "$ref" in described:
        return Reference(described["$ref"])
    if "prefixItems" in described:
        # Homogeneous tuples: client generators know neither `prefixItems` nor `items: false`.
        described = {**described, "items": described["prefixItems"][0]}
        del described["prefixItems"]
    aliases = Schema.field_aliases()
    return Schema(**{aliases.get(name, name): _value(name, value) for name, value in described.items()})


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if name in LISTS:
        return [_schema(part) for part in value]
    if name == "properties":
        return {key: _schema(part) for key, part in value.items()}
    return _schema(value) if name in ("items", "additionalProperties") and isinstance(value, dict) else value
