"""The service's endpoints as they are declared, for tests that walk all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import msgspec
from msgspec import inspect

from src.app import CONTROLLERS
from src.http.endpoint import Endpoint, endpoints_of
from src.http.probes import ProbesController


def declared() -> list[Endpoint]:
    """The families' endpoints by their own names: neither the second of a path, nor the probe of all."""
    families = [controller for controller in CONTROLLERS if controller is not ProbesController]
    return [endpoint for endpoint in endpoints_of(families) if endpoint.paths == {f"/{endpoint.name}"}]


@cache
def served() -> Mapping[str, Endpoint]:
    """Every endpoint that is served, by name."""
    return {endpoint.name: endpoint for endpoint in [*declared(), *endpoints_of([ProbesController])]}


def beneath(kind: inspect.Type) -> inspect.Type:
    """The type without its metadata and without None."""
    if isinstance(kind, inspect.Metadata):
        return beneath(kind.type)
    if isinstance(kind, inspect.UnionType):
        return beneath(next(part for part in kind.types if not isinstance(part, inspect.NoneType)))
    return kind


@cache
def fields(kind: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    """Every field at every depth by its path in the JSON, as `items.price_cents` for one of each of `items`."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    found: dict[str, inspect.Field] = {}
    for field in described.fields:
        found[field.encode_name] = field
        inner = beneath(field.type)
        if isinstance(inner, inspect.ListType):
            inner = beneath(inner.item_type)
        if isinstance(inner, inspect.StructType):
            found |= {f"{field.encode_name}.{path}": nested for path, nested in fields(inner.cls).items()}
    return found


def undescribed(kind: type[msgspec.Struct], value: object) -> list[str]:
    """The paths of what an answer holds and its struct does not name."""
    known = fields(kind)
    nested = {path.rpartition(".")[0] for path in known}
    return [path for path in _paths(value, nested) if path not in known]


def _paths(value: object, nested: set[str], prefix: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, nested, prefix)
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{prefix}.{name}" if prefix else name
            yield path
            if path in nested:
                yield from _paths(inner, nested, path)
