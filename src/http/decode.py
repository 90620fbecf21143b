"""Decodes bytes to a frozen struct; one answer lists every fault (docs/api.md, Input).

A field's message follows from its type and bounds; `Meta(extra={"message": …})` replaces it (`{name}` stands for the
field's path) and `Meta(extra={"normalise": str.upper})` is applied to text before it is checked.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from src.domain.errors import InputInvalid
from src.edge.json_size import JsonTooLarge, refuse_constant, require_few, require_within
from src.edge.limits import OF_BODIES

T = TypeVar("T", bound=msgspec.Struct)

MAX_REMEMBERED_LENGTH = 512
MAX_PARAMETERS = 64
# Bounds the faults of one answer, as each item of a long list may have one.
MAX_FAULTS = 1000
# Whitespace around JSON (RFC 8259, section 2).
BLANKS = " \t\r\n"
# Errors of converting and cleaning a value.
UNFIT = (msgspec.ValidationError, UnicodeError, OverflowError)


def from_body(kind: type[T], body: bytes, *, cached: bool = False) -> T:
    """Decode a JSON object; no body at all counts as `{}`. Raises InputInvalid with every fault.

    `cached` is for searches: callers repeat them, and they hold no personal data.
    """
    return _from_cache(_body, kind, body) if cached else _body(kind, body)


def from_query(kind: type[T], query: bytes) -> T:
    """Decode query parameters; a repeated one is a fault. Raises InputInvalid with every fault.

    Short queries are cached, because callers repeat them.
    """
    return _from_cache(_query, kind, query)


def _from_cache(read: Callable[[type[T], bytes], T], kind: type[T], text: bytes) -> T:
    """A short text is decoded once; callers share the struct, which is frozen."""
    if len(text) > MAX_REMEMBERED_LENGTH:
        return read(kind, text)
    found = _lru_cached(read, kind, text)
    assert isinstance(found, kind)  # noqa: S101 - lru_cache loses the type
    return found


@lru_cache(maxsize=1024)
def _lru_cached(read: Callable[[type[T], bytes], T], kind: type[T], text: bytes) -> T:
    return read(kind, text)


def _body(kind: type[T], body: bytes) -> T:
    return _struct(kind, _json_object(body) if body.strip() else {}, strict=True)


def _query(kind: type[T], query: bytes) -> T:
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        message = "The query string is not valid UTF-8 or has too many parameters"
        raise InputInvalid(message) from None
    return _struct(
        kind, {name: value for name, value in _without_duplicates(pairs).items() if value != ""}, strict=False
    )


def _json_object(body: bytes) -> dict[str, object]:
    message = "The body is not valid JSON"
    try:
        text = body.decode().strip(BLANKS)
        require_within(body, OF_BODIES)
        # Faster than decode(), which matches regular expressions.
        value, end = JSON.raw_decode(text)
    except JsonTooLarge as fault:
        raise InputInvalid(str(fault)) from None
    except ValueError:
        raise InputInvalid(message) from None
    if end != len(text):
        raise InputInvalid(message)
    if not isinstance(value, dict):
        message = "The body must be a JSON object"
        raise InputInvalid(message)
    return value


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    require_few(len(pairs), OF_BODIES)
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in times.items() if count > 1)
        message = f"{repeated[:64]} is given twice" if repeated.isidentifier() else "A key is given twice"
        raise InputInvalid(message)
    return found


JSON = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=refuse_constant)


def _struct(kind: type[T], raw: Mapping[str, object], *, strict: bool) -> T:
    read = _at_once(kind, raw, strict=strict)
    if read is None:
        reader = _StructReader(strict=strict)
        read = reader.struct(kind, raw, "")
        if read is None:
            raise InputInvalid(*reader.faults[:MAX_FAULTS])
    return read


def _at_once(kind: type[T], raw: Mapping[str, object], *, strict: bool) -> T | None:
    """A struct of plain values without faults, the usual case; other input needs the reader."""
    given = {}
    try:
        for field in _fields(kind):
            if field.struct is not None or field.item is not None or (field.camel != field.key and field.camel in raw):
                return None
            value = raw.get(field.key)
            if value is not None:
                given[field.key] = _cleaned(value, field.normalise)
        return _in_calendar(msgspec.convert(given, kind, strict=strict), *_times(kind))
    except UNFIT:
        return None


class _StructReader:
    """Reads structs field by field, at every depth, and collects faults in field order."""

    def __init__(self, *, strict: bool) -> None:
        self.faults: list[str] = []
        self._strict = strict

    def struct(self, kind: type[T], raw: Mapping[str, object], prefix: str) -> T | None:
        """None when a field has a fault."""
        before = len(self.faults)
        values: dict[str, object] = {}
        for field in _fields(kind):
            value = raw.get(field.key)
            # Older clients send camelCase.
            if field.camel != field.key and field.camel in raw:
                if field.key in raw:
                    self.faults.append(f"{prefix}{field.key} is given twice")
                value = raw[field.camel]
            if value is not None:
                values[field.name] = self._value(field, value, prefix)
            elif field.required:
                self.faults.append(_message(field.kind, prefix + field.key))
        return kind(**values) if len(self.faults) == before else None

    def _value(self, field: "_Field", value: object, prefix: str) -> object:
        if field.struct is not None and isinstance(value, dict):
            return self.struct(field.struct, value, f"{prefix}{field.key}.")
        if field.item is not None and isinstance(value, list) and field.min_length <= len(value) <= field.max_length:
            return [
                self._item(field.item, entry, f"{prefix}{field.key}[{number}]") for number, entry in enumerate(value)
            ]
        try:
            held = msgspec.convert([_cleaned(value, field.normalise)], field.holder, strict=self._strict)
            return _in_calendar(held, "value").value
        except UNFIT:
            self.faults.append(_message(field.kind, prefix + field.key))
            return None

    def _item(self, kind: type[msgspec.Struct], value: object, name: str) -> msgspec.Struct | None:
        if not isinstance(value, dict):
            self.faults.append(f"{name} must be an object")
            return None
        return self.struct(kind, value, f"{name}.")


class _Holder(msgspec.Struct):
    """One value in a struct, because msgspec caches how a struct is converted, and not other types."""

    value: object


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field is read: as a struct, as a list of structs (`item`), or as another value."""

    name: str
    key: str
    camel: str
    required: bool
    kind: inspect.Type
    struct: type[msgspec.Struct] | None
    item: type[msgspec.Struct] | None
    min_length: int
    max_length: float
    normalise: Callable[[str], str] | None
    holder: type[_Holder]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _cleaned(value: object, normalise: Callable[[str], str] | None) -> object:
    """Text trimmed, without NUL and lone surrogates, at every depth."""
    if isinstance(value, str):
        text = value.strip()
        if "\0" in text:
            raise UnicodeError
        if not text.isascii():
            text.encode()
        return normalise(text) if normalise else text
    if isinstance(value, list):
        return [_cleaned(item, normalise) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key, None): _cleaned(item, normalise) for key, item in value.items()}
    return value


def _in_calendar(struct: T, *names: str) -> T:
    """The struct. Raises OverflowError for a timestamp outside of the calendar in UTC."""
    for name in names:
        value = getattr(struct, name)
        if isinstance(value, datetime):
            value.astimezone(UTC)
    return struct


@cache
def _times(kind: type[msgspec.Struct]) -> Sequence[str]:
    return [field.name for field in _fields(kind) if isinstance(_unwrapped(field.kind)[0], inspect.DateTimeType)]


@cache
def _fields(kind: type[msgspec.Struct]) -> Sequence[_Field]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - a struct's description is one
    annotations = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return [_field(field, annotations[field.name]) for field in described.fields]


def _field(field: inspect.Field, annotation: object) -> _Field:
    inner, extra = _unwrapped(field.type)
    listed = inner if isinstance(inner, inspect.ListType) else inspect.ListType(inspect.AnyType())
    holder = msgspec.defstruct("Holder", [("value", annotation)], bases=(_Holder,), array_like=True)
    return _Field(
        name=field.name,
        key=field.encode_name,
        camel=_camel(field.encode_name),
        required=field.required,
        kind=field.type,
        struct=inner.cls if isinstance(inner, inspect.StructType) else None,
        item=listed.item_type.cls if isinstance(listed.item_type, inspect.StructType) else None,
        min_length=listed.min_length or 0,
        max_length=listed.max_length or float("inf"),
        normalise=extra.get("normalise"),
        holder=cast("type[_Holder]", holder),
    )


def _unwrapped(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Callable[[str], str]]]:
    """The type without metadata and `| None`, and the metadata's extra."""
    extra: dict[str, Callable[[str], str]] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(part for part in kind.types if not isinstance(part, inspect.NoneType))
        else:
            return kind, extra


def _message(kind: inspect.Type, name: str) -> str:
    inner, extra = _unwrapped(kind)
    return str(extra["message"]).format(name=name) if "message" in extra else f"{name} must be {_described(inner)}"


def _described(kind: inspect.Type) -> str:  # noqa: C901, PLR0911, PLR0912 - a table, one line a kind
    match kind:
        case inspect.UUIDType():
            return "a valid UUID"
        case inspect.DateType():
            return "YYYY-MM-DD"
        case inspect.DateTimeType():
            return "an ISO 8601 time with a zone"
        case inspect.LiteralType(values=values):
            return "|".join(str(value) for value in values)
        case inspect.IntType(ge=1, le=None):
            return "a positive integer"
        case inspect.IntType(ge=lowest, le=None):
            return f"an integer of at least {lowest}"
        case inspect.IntType(ge=lowest, le=highest):
            return f"an integer from {lowest} to {highest}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(min_length=None | 0, max_length=int(max_length)):
            return f"<= {max_length} characters"
        case inspect.StrType(min_length=min_length, max_length=int(max_length)):
            return f"between {min_length} and {max_length} characters"
        case inspect.ListType(min_length=int(min_length), max_length=int(max_length)):
            return f"a list of {min_length} to {max_length}"
        case inspect.ListType() | inspect.VarTupleType():
            return "a list"
        case inspect.DictType() | inspect.StructType():
            return "an object"
        case _:
            return "text"
