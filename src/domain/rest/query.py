"""From the raw query string to a Plan, its values, and the arguments of a function call."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from src.domain.rest.errors import query_error
from src.domain.rest.filters import number_values, numbered, parse_logic, parse_operation
from src.domain.rest.grammar import parse_columns, parse_order, parse_select, parse_tree_path
from src.domain.rest.parsing import Syntax
from src.domain.rest.plan import Condition, OrderTerm, Path, Plan, Window
from src.domain.rest.ranges import Range, number, top_level

Pair = tuple[str, str | None]
RESERVED = frozenset({"select", "columns", "on_conflict"})


@dataclass(frozen=True, slots=True)
class Query:
    """`values` are what the plan's positions refer to; `arguments` are the parameters that are no filters (RPC)."""

    plan: Plan
    values: tuple[str | int, ...]
    arguments: tuple[tuple[str, str], ...]
    canonical: str
    range: Range
    filter_names: frozenset[str]
    has_logic: bool


def pairs_of(raw: bytes) -> list[Pair]:
    """The parameters in their order; `+` is a blank, `;` separates like `&`, None where there is no `=`.

    Raises RestError for text that is not UTF-8 or holds NUL, which no name or value of Postgres can.
    """
    pairs: list[Pair] = []
    for part in raw.replace(b";", b"&").split(b"&"):
        if part:
            key, equals, value = part.replace(b"+", b" ").partition(b"=")
            pairs.append((_text(key), _text(value) if equals else None))
    return pairs


def _text(raw: bytes) -> str:
    try:
        text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        message = "failed to parse the query string"
        raise query_error(message, "it is not valid UTF-8") from None
    if "\0" in text:
        message = "failed to parse the query string"
        raise query_error(message, "it holds a NUL character")
    return text


def parse_query(raw: bytes, *, call: bool = False, header_range: str | None = None) -> Query:
    """Read a query string; `call` when a GET calls a function, so that values without an operator are arguments.

    Raises RestError PGRST100 where it does not parse, PGRST103 for an impossible range.
    """
    pairs = pairs_of(raw)
    try:
        return _Reader(pairs, header_range, call=call).query()
    except Syntax as syntax:
        raise query_error(syntax.where, syntax.what) from None


class _Reader:
    def __init__(self, pairs: list[Pair], header_range: str | None, *, call: bool) -> None:
        self._pairs = pairs
        self._header_range = header_range
        self._call = call
        self._values: list[str | int] = []
        self._arguments: list[tuple[str, str]] = []
        self._conditions: list[tuple[Path, Condition]] = []
        self._orders: list[tuple[Path, tuple[OrderTerm, ...]]] = []
        self._bounds: dict[str, dict[str, str]] = {}
        self._names: set[str] = set()
        self._distinct: list[Path] = []
        self._has_logic = False

    def query(self) -> Query:
        for key, value in self._pairs:
            if value is not None and key not in RESERVED:
                self._read(key, value)
        root = self._bounds.pop("", {})
        window = top_level(root.get("limit"), root.get("offset"), self._header_range)
        plan = Plan(
            select=parse_select(self._first("select") or "*") if self._first("select") != "" else (),
            conditions=tuple(self._conditions),
            orders=tuple(self._orders),
            windows=(*self._root_window(window), *self._windows()),
            columns=self._columns("columns"),
            on_conflict=self._columns("on_conflict"),
            distinct=tuple(self._distinct),
        )
        return Query(
            plan,
            tuple(self._values),
            tuple(self._arguments),
            _canonical(self._pairs),
            window,
            frozenset(self._names),
            self._has_logic,
        )

    def _read(self, key: str, value: str) -> None:
        head, _, word = key.rpartition(".")
        if word == "order":
            self._orders.append((parse_tree_path(key)[0], parse_order(value)))
        elif word in ("and", "or"):
            self._has_logic = True
            path, tree = parse_logic(key, value)
            self._conditions.append((path, number_values(tree, self._values)))
        elif word == "distinct" and value in ("true", "false"):
            # Never a filter: those have an operator.
            if value == "true":
                self._distinct.append((*parse_tree_path(head)[0], parse_tree_path(head)[1].name) if head else ())
        elif word in ("limit", "offset"):
            self._bounds.setdefault(head, {}).setdefault(word, value)
        else:
            self._filter(key, value)

    def _filter(self, key: str, value: str) -> None:
        path, column = parse_tree_path(key)
        try:
            operation = parse_operation(value)
        except Syntax:
            if not self._call:
                raise
            self._arguments.append((column.name, value))
            return
        self._names.add(key)
        self._conditions.append((path, numbered(column, operation, self._values)))

    def _root_window(self, window: Range) -> list[Window]:
        if window.everything:
            return []
        return [Window((), self._position(window.limit), self._position(window.offset or None))]

    def _windows(self) -> list[Window]:
        windows = []
        for head, bounds in self._bounds.items():
            path, field = parse_tree_path(head)
            limit, offset = number(bounds.get("limit", "")), number(bounds.get("offset", ""))
            windows.append(Window((*path, field.name), self._position(limit), self._position(offset)))
        return windows

    def _position(self, value: int | None) -> int:
        if value is None:
            return -1
        self._values.append(value)
        return len(self._values) - 1

    def _first(self, name: str) -> str | None:
        return next((value for key, value in self._pairs if key == name), None)

    def _columns(self, name: str) -> tuple[str, ...] | None:
        text = self._first(name)
        return None if text is None else parse_columns(name, text)


def _canonical(pairs: list[Pair]) -> str:
    """The parameters sorted by name, as Content-Location gives them."""
    grouped: dict[str, list[str]] = {}
    for key, value in sorted(pairs, key=lambda pair: pair[0].encode()):
        grouped.setdefault(key, []).append(_quoted(value or ""))
    return "&".join(f"{_quoted(key)}={','.join(values)}" for key, values in grouped.items())


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
