"""The body of a write or a call: its keys, and the JSON text for the statement."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass

from src.edge.json_size import JsonTooLarge, refuse_constant, require_few, require_within
from src.edge.limits import OF_BODIES, SERVICE, Limits
from src.rest.errors import bad_body
from src.rest.protocol.media import Media, MediaType
from src.rest.query.query_string import pairs_of

BLANKS = b" \t\r\n"
# A field may be as long as the body, which is bounded when it is received.
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True, slots=True)
class Payload:
    """`text` is what the database gets: JSON, or the raw body of a function with one unnamed parameter.

    `keys` are the columns or arguments it names; `arguments` those of a form, which may repeat.
    """

    text: bytes
    keys: frozenset[str] = frozenset()
    is_object: bool = True
    arguments: tuple[tuple[str, str], ...] | None = None


def parse_payload(
    body: bytes, media: MediaType, columns: tuple[str, ...] | None, *, call: bool, limits: Limits = SERVICE
) -> Payload:
    """Read a body. With `columns` JSON is passed on unread. Raises RestError PGRST102, PGRST100 beyond `limits`."""
    if media.kind is Media.JSON:
        return _json(body, columns, call=call)
    if media.kind is Media.CSV:
        return _of_rows(_csv_rows(_decoded(body), limits.fields))
    if media.kind is Media.FORM:
        fields = tuple((key, value or "") for key, value in pairs_of(body, limits.parameters))
        if call:
            text = json.dumps(dict(fields)).encode()
            return Payload(text, frozenset(key for key, _ in fields), arguments=fields)
        return _of_rows(dict(fields))
    if call and media.kind in (Media.TEXT, Media.XML, Media.OCTETS):
        return Payload(body)
    message = f"Content-Type not acceptable: {media.name}"
    raise bad_body(message)


def _json(body: bytes, columns: tuple[str, ...] | None, *, call: bool) -> Payload:
    try:
        require_within(body, OF_BODIES)
    except JsonTooLarge as fault:
        raise bad_body(str(fault)) from None
    if columns is not None:
        return Payload(body, frozenset(columns), body.lstrip(BLANKS).startswith(b"{"))
    if not body and call:
        return Payload(b"{}")
    try:
        # RFC 8259 demands UTF-8, but the library would accept other encodings.
        text = body.decode()
        content = (PLAIN if body.count(b":") <= OF_BODIES.keys else COUNTING).decode(text)
    except JsonTooLarge as fault:
        raise bad_body(str(fault)) from None
    except ValueError:  # UnicodeDecodeError is one
        message = "Empty or invalid json"
        raise bad_body(message) from None
    keys = _keys(content)
    is_object = isinstance(content, dict)
    return Payload(body if is_object or (isinstance(content, list) and content) else b"[]", keys, is_object)


def _keys(content: object) -> frozenset[str]:
    """The keys of all items. Items that are no objects count as an empty array."""
    if isinstance(content, dict):
        return frozenset(content)
    if not isinstance(content, list) or not content:
        return frozenset()
    first = content[0]
    if not isinstance(first, dict) or any(
        not isinstance(item, dict) or item.keys() != first.keys() for item in content
    ):
        message = "All object keys must match"
        raise bad_body(message)
    return frozenset(first)


def _of_rows(rows: object) -> Payload:
    return Payload(json.dumps(rows, ensure_ascii=False).encode(), _keys(rows), isinstance(rows, dict))


def _csv_rows(text: str, max_fields: int) -> list[dict[str, str | None]]:
    lines = filter(None, csv.reader(io.StringIO(text, newline="")))
    names = next(lines, None)
    if names is None:
        message = "Empty or invalid csv"
        raise bad_body(message)
    rows: list[dict[str, str | None]] = []
    for line in lines:
        if len(line) != len(names):
            message = "All lines must have same number of fields"
            raise bad_body(message)
        if (len(rows) + 1) * len(names) > max_fields:
            message = f"CSV may hold at most {max_fields:,} fields"
            raise bad_body(message)
        rows.append(dict(zip(names, map(_csv_value, line), strict=True)))
    return rows


def _csv_value(text: str) -> str | None:
    return None if text == "NULL" else text


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        message = "Empty or invalid csv"
        raise bad_body(message) from None


def _few(pairs: list[tuple[str, object]]) -> dict[str, object]:
    require_few(len(pairs), OF_BODIES)
    return dict(pairs)


PLAIN = json.JSONDecoder(parse_constant=refuse_constant)
COUNTING = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=_few)
