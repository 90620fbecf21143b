"""The service's endpoints as they are declared, for tests that walk all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import msgspec
from msgspec import inspect

from src.app import endpoints_of
from src.composition import compose
from src.http import probes
from src.http.endpoint import Endpoint
from src.http.loopback import Loopback
from tests import postgres


def declared() -> list[Endpoint]:
    """They are the same whatever the database holds, and nothing asks one."""
    return endpoints_of(compose(postgres.settings("postgresql://nobody@127.0.0.1:9/none")))


@cache
def served() -> Mapping[str, Endpoint]:
    """Every function that is served, by name: those declared, and the probe of all of them."""
    found = declared()
    return {endpoint.name: endpoint for endpoint in [*found, *probes.endpoints([e.name for e in found], Loopback())]}


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
