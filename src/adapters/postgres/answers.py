"""Answers of SQL functions: finished JSON as bytes, and the few values that Python reads from it."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from src.domain.answered import Answered
from src.domain.errors import Conflict
from src.domain.paging import Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

V = TypeVar("V")


class _Rows(msgspec.Struct):
    data: list[msgspec.Raw]


def decoded(body: bytes | str, kind: type[V]) -> V:
    """A function's JSON as `kind`. Raises Conflict for stored JSON that is nested too deep to read."""
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError:
        message = "What is stored is nested too deeply to be read"
        raise Conflict(message) from None


def found(body: bytes, kind: type[V]) -> V | None:
    """The same of a function that answers null when there is nothing."""
    return None if body == b"null" else decoded(body, kind)


def answered(kind: type[V], body: bytes) -> Answered[V]:
    """A domain value read from a JSON object with the same names, and the object itself."""
    return Answered(decoded(body, kind), body)


def page_of(body: bytes) -> Page:
    """A list endpoint's body with its number of rows."""
    return Page(body, len(decoded(body, _Rows).data))


def parameters(value: "DataclassInstance") -> dict[str, object]:
    """A domain value's fields as the named parameters of a SQL function."""
    return {parameter: getattr(value, name) for parameter, name in _names(type(value))}


@cache
def _names(kind: "type[DataclassInstance]") -> Sequence[tuple[str, str]]:
    return [(f"p_{field.name}", field.name) for field in fields(kind)]
