"""What SQL functions answer: finished JSON, kept as bytes, with the few values that Python reads from it."""

from dataclasses import fields, replace
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
    return replace(msgspec.json.decode(body, type=kind), body=body)


def list_answered(kind: type[T], body: bytes) -> list[T]:
    """Domain values read from a JSON array of objects; each keeps its own object as `body`."""
    return [answered(kind, bytes(item)) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]


def page_of(body: bytes) -> Page:
    """A list endpoint's body with its number of rows."""
    return Page(body, len(msgspec.json.decode(body, type=_Rows).data))


def parameters(value: "DataclassInstance") -> dict[str, object]:
    """A domain value's fields as the named parameters of a SQL function."""
    return {f"p_{field.name}": getattr(value, field.name) for field in fields(value)}
