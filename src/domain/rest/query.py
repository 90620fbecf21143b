"""From the raw query string to a Plan, its values, and the arguments of a function call."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from src.domain.rest.errors import query_error
from src.domain.rest.filters import numbered, operation_in, parse_operation
from src.domain.rest.grammar import parse_columns, parse_order, parse_select, parse_tree_path
from src.domain.rest.logic import number_values, parse_logic
from src.domain.rest.plan import Condition, Field, OrderTerm, Path, Plan, SelectField, Window
from src.domain.rest.ranges import Range, number, top_level
from src.domain.rest.syntax import Syntax

Pair = tuple[str, str | None]
RESERVED = frozenset({"select", "columns", "on_conflict"})
NO_COLUMNS = RESERVED | {"order", "limit", "offset", "and", "or", "distinct"}
ALL_COLUMNS = (SelectField(Field("*")),)
EVERYTHING = Range()
# Larger limits are values like any other: few shapes of a request have them.
LARGEST_PLANNED_PAGE = 1000
PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")


class Query(NamedTuple):
    """`values` are what the plan's positions refer to; `arguments` are the parameters that are no filters (RPC).

    `location` is the query string as Content-Location gives it: sorted by name.
    """

    plan: Plan
    values: tuple[str | int, ...]
    arguments: tuple[tuple[str, str], ...]
    location: str
    range: Range
    filter_names: frozenset[str]
    has_logic: bool


def pairs_of(raw: bytes) -> list[Pair]:
    """The parameters in their order; `+` is a blank, `;` separates like `&`, None where there is no `=`.

    Raises RestError for text that is not UTF-8 or holds NUL, which no name or value of Postgres can.
    """
    if not raw:
        return []
    try:
        text = raw.decode()
        if ";" in text:
            text = text.replace(";", "&")
        pairs = [_pair(part) for part in text.split("&") if part]
    except UnicodeDecodeError:
        message = "failed to parse the query string"
        raise query_error(message, "it is not valid UTF-8") from None
    if "\0" in text or "%00" in text:
        message = "failed to parse the query string"
        raise query_error(message, "it holds a NUL character")
    return pairs


def _pair(part: str) -> Pair:
    key, equals, value = part.partition("=")
    return decoded(key), decoded(value) if equals else None


def decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote_to_bytes(text).decode() if "%" in text else text


def parse_query(raw: bytes, *, call: bool = False, header_range: str | None = None) -> Query:
    """Read a query string; `call` when a GET calls a function, so that values without an operator are arguments.

    Raises RestError PGRST100 where it does not parse, PGRST103 for an impossible range.
    """
    reader = _Reader(call=call)
    pairs = pairs_of(raw)
    try:
        for key, value in pairs:
            if value is not None:
                reader.take(key, value)
        return reader.query(pairs, header_range)
    except Syntax as syntax:
        raise query_error(syntax.where, syntax.what) from None


class _Reader:
    """Sorts parameters by what they are, keeping values apart."""

    def __init__(self, *, call: bool) -> None:
        self._call = call
        self._values: list[str | int] = []
        self._arguments: list[tuple[str, str]] = []
        self._conditions: list[tuple[Path, Condition]] = []
        self._orders: list[tuple[Path, tuple[OrderTerm, ...]]] = []
        self._bounds: dict[str, dict[str, str]] = {}
        self._given: dict[str, str] = {}
        self._names: list[str] = []
        self._distinct: list[Path] = []
        self._has_logic = False

    def query(self, pairs: list[Pair], header_range: str | None) -> Query:
        """All that was taken. Raises Syntax and RestError."""
        root = self._bounds.pop("", None)
        window = EVERYTHING
        if root is not None or header_range is not None:
            bounds = root or {}
            window = top_level(bounds.get("limit"), bounds.get("offset"), header_range)
        given = self._given
        plan = Plan(
            parse_select(given["select"]) if "select" in given else ALL_COLUMNS,
            tuple(self._conditions),
            tuple(self._orders),
            (*self._root_window(window), *self._windows()),
            parse_columns("columns", given["columns"]) if "columns" in given else None,
            parse_columns("on_conflict", given["on_conflict"]) if "on_conflict" in given else None,
            tuple(self._distinct),
        )
        return Query(
            plan,
            tuple(self._values),
            tuple(self._arguments),
            _canonical(pairs),
            window,
            frozenset(self._names),
            self._has_logic,
        )

    def take(self, key: str, value: str) -> None:
        """One parameter. Raises Syntax."""
        if key in RESERVED:
            # The first of a repeated one counts.
            self._given.setdefault(key, value)
            return
        head, _, word = key.rpartition(".")
        if word == "order":
            self._orders.append((parse_tree_path(key)[0], parse_order(value)))
        elif word in ("limit", "offset"):
            self._bounds.setdefault(head, {}).setdefault(word, value)
        elif word in ("and", "or"):
            self._has_logic = True
            path, tree = parse_logic(key, value)
            self._conditions.append((path, number_values(tree, self._values)))
        elif word == "distinct" and value in ("true", "false"):
            # Never a filter: those have an operator.
            if value == "true":
                self._distinct.append(_path(head))
        else:
            self._filter(key, value)

    def _filter(self, key: str, value: str) -> None:
        operation = operation_in(value) if self._call else parse_operation(value)
        if operation is None and "." not in key and not key.startswith('"'):
            # An argument's name is what stands there; only one with a dot or a quote in it has to be quoted.
            self._arguments.append((key, value))
            return
        path, column = parse_tree_path(key)
        if operation is None and not path:
            self._arguments.append((column.name, value))
            return
        operation = operation or parse_operation(value)
        self._names.append(key)
        self._conditions.append((path, numbered(column, operation, self._values)))

    def _root_window(self, window: Range) -> list[Window]:
        if window.everything:
            return []
        return [self._window((), window.limit, window.offset or None)]

    def _windows(self) -> list[Window]:
        windows = []
        for head, bounds in self._bounds.items():
            limit, offset = number(bounds.get("limit", "")), number(bounds.get("offset", ""))
            windows.append(self._window(_path(head), limit, offset))
        return windows

    def _window(self, path: Path, limit: int | None, offset: int | None) -> Window:
        rows = limit if limit is not None and 0 <= limit <= LARGEST_PLANNED_PAGE else None
        return Window(path, self._position(limit if rows is None else None), self._position(offset), rows)

    def _position(self, value: int | None) -> int:
        if value is None:
            return -1
        self._values.append(value)
        return len(self._values) - 1


def _path(head: str) -> Path:
    if not head:
        return ()
    path, field = parse_tree_path(head)
    return (*path, field.name)


def _canonical(pairs: list[Pair]) -> str:
    grouped: dict[str, list[str]] = {}
    for key, value in sorted(pairs, key=_by_name):
        grouped.setdefault(key, []).append(encoded(value or ""))
    return "&".join([f"{encoded(key)}={','.join(values)}" for key, values in grouped.items()])


def _by_name(pair: Pair) -> str:
    return pair[0]


@lru_cache(4096)
def parameter(column: str) -> str:
    """A filter's name for a column, percent-encoded: in double quotes where it would not be read as the column."""
    try:
        read = column not in NO_COLUMNS and parse_tree_path(column) == ((), Field(column))
    except Syntax:
        read = False
    escaped = column.replace("\\", "\\\\").replace('"', '\\"')
    return encoded(column if read else f'"{escaped}"')


@lru_cache(4096)
def encoded(text: str) -> str:
    """Percent-encoded but for what never needs it."""
    return text if PLAIN.fullmatch(text) else quote(text, safe="-_.~")
