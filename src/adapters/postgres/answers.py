"""What SQL functions answer: finished JSON, kept as bytes, with the few values that Python reads from it."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from src.domain.paging import Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class _Rows(msgspec.Struct):
    data: list[msgspec.Raw]


def answered(kind: type[T], body: bytes) -> T:
    """A domain value read from a JSON object with the same names; its `body` field keeps the object itself."""
    value = msgspec.json.decode(body, type=kind)
    # Frozen for everybody else; `replace` would take longer than decoding does.
    object.__setattr__(value, "body", body)
    return value


def list_answered(kind: type[T], body: bytes) -> list[T]:
    """Domain values read from a JSON array of objects; each keeps its own object as `body`."""
    return [answered(kind, bytes(item)) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]


def page_of(body: bytes) -> Page:
    """A list endpoint's body with its number of rows."""
    return Page(body, len(msgspec.json.decode(body, type=_Rows).data))


def parameters(value: "DataclassInstance") -> dict[str, object]:
    """A domain value's fields as the named parameters of a SQL function."""
    return {parameter: getattr(value, name) for parameter, name in _names(type(value))}


@cache
def _names(kind: "type[DataclassInstance]") -> Sequence[tuple[str, str]]:
    return [(f"p_{field.name}", field.name) for field in fields(kind)]
