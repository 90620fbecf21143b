"""Parses the query string to a Plan, its values, and the arguments of a call."""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from src.edge.limits import MAX_HEADER_SIZE, SERVICE, Limits, too_long
from src.rest.errors import query_error, too_long_name, too_much
from src.rest.query.filters import FULL_TEXT, Operation, numbered, operation_in, parse_operation
from src.rest.query.grammar import parse_columns, parse_order, parse_select, parse_tree_path
from src.rest.query.logic import groups_in, numbered_tree, parse_logic
from src.rest.query.parsing import MAX_CACHED_LENGTH, TooLong, TooMany
from src.rest.query.patterns import OtherSyntax, states, states_of_array
from src.rest.query.plan import (
    Condition,
    Field,
    Filter,
    OrderTerm,
    Path,
    Plan,
    SelectEmbed,
    SelectField,
    SelectItem,
    Window,
)
from src.rest.query.ranges import RowRange, number, top_level
from src.rest.query.syntax import Syntax

Pair = tuple[str, str | None]
# Operands that are lists: of `in`, of a quantifier, or arrays.
LIST = re.compile(r"(?:not\.)?(?:(?:in|cs|cd|ov|\w+\((?:any|all)\))\.|\w+\.\s*[{\[])")
REGULAR_EXPRESSIONS = frozenset({"match", "imatch"})
# Operators whose cost grows more than linearly with their operand.
SEARCHES = frozenset({"like", "ilike", "match", "imatch", *FULL_TEXT})
PRESENCE = ("null", "not_null")
RESERVED = frozenset({"select", "columns", "on_conflict"})
NO_COLUMNS = RESERVED | {"order", "limit", "offset", "and", "or", "distinct"}
ALL_COLUMNS = (SelectField(Field("*")),)
EVERYTHING = RowRange()
# Larger limits are values, because few shapes have them.
MAX_PLANNED_PAGE_SIZE = 1000
BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")


class Query(NamedTuple):
    """`values` are what the plan's positions refer to; `arguments` are the parameters that are no filters (RPC).

    `location` is the query string as Content-Location gives it, sorted by name; None for one that no header can hold.
    """

    plan: Plan
    values: tuple[str | int, ...]
    arguments: tuple[tuple[str, str], ...]
    location: str | None
    range: RowRange
    filter_names: frozenset[str]
    has_logic: bool


def pairs_of(raw: bytes, max_parameters: int = SERVICE.parameters) -> list[Pair]:
    """The parameters in their order; `+` is a blank, `;` separates like `&`, None where there is no `=`.

    Raises RestError for text that is not UTF-8 or holds NUL, which no name or value of Postgres can, and for more than
    `max_parameters`.
    """
    if not raw:
        return []
    if raw.count(b"&") + raw.count(b";") >= max_parameters:
        message = f"There may be at most {max_parameters:,} parameters"
        raise too_much(message)
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
    """Percent-decoded; invalid escapes stay.

    Quoted-printable is the same with another sign and decodes in one step, while urllib makes an object for each byte.
    """
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    return a2b_qp(BROKEN.sub("%25", text).encode().replace(b"=", b"=3D").replace(b"%", b"=")).decode()


def parse_query(raw: bytes, *, call: bool = False, header_range: str | None = None, limits: Limits = SERVICE) -> Query:
    """Read a query string; `call` when a GET calls a function, so that values without an operator are arguments.

    Raises RestError PGRST100 where it does not parse or goes beyond `limits`, PGRST103 for an impossible range.
    """
    reader = _QueryReader(limits, call=call)
    pairs = pairs_of(raw, limits.parameters)
    try:
        for key, value in pairs:
            if value is not None:
                reader.take(key, value)
        return reader.query(pairs, header_range, short=len(raw) <= MAX_HEADER_SIZE)
    except Syntax as syntax:
        raise query_error(syntax.where, syntax.what) from None
    except TooLong:
        raise too_long_name() from None
    except TooMany:
        message = (
            f"There may be at most {limits.terms:,} selected fields, embedded resources, conditions and order terms"
        )
        raise too_much(message) from None


class _QueryReader:
    """Sorts parameters by their meaning, and keeps values apart."""

    def __init__(self, limits: Limits, *, call: bool) -> None:
        self._limits = limits
        self._call = call
        self._terms = limits.terms
        self._elements = limits.elements
        self._choices = limits.choices
        self._states = limits.states
        self._values: list[str | int] = []
        self._arguments: list[tuple[str, str]] = []
        self._conditions: list[tuple[Path, Condition]] = []
        self._orders: list[tuple[Path, tuple[OrderTerm, ...]]] = []
        self._bounds: dict[str, dict[str, str]] = {}
        self._given: dict[str, str] = {}
        self._names: list[str] = []
        self._distinct: list[Path] = []
        # How often what may be an embed is asked whether it is there.
        self._asked: Counter[str] = Counter()
        self._has_logic = False

    def query(self, pairs: list[Pair], header_range: str | None, *, short: bool) -> Query:
        """All that was taken. Raises Syntax, TooMany, TooLong and RestError."""
        root = self._bounds.pop("", None)
        window = EVERYTHING
        if root is not None or header_range is not None:
            bounds = root or {}
            window = top_level(bounds.get("limit"), bounds.get("offset"), header_range)
        plan = Plan(
            self._select(),
            tuple(self._conditions),
            tuple(self._orders),
            (*self._root_window(window), *self._windows()),
            self._columns("columns"),
            self._columns("on_conflict"),
            tuple(self._distinct),
        )
        return Query(
            plan,
            tuple(self._values),
            tuple(self._arguments),
            _canonical(pairs) if short else None,
            window,
            frozenset(self._names),
            self._has_logic,
        )

    def take(self, key: str, value: str) -> None:
        """Read one parameter. Raises Syntax."""
        if key in RESERVED:
            # The first of repeated parameters counts.
            self._given.setdefault(key, value)
            return
        head, _, word = key.rpartition(".")
        if word == "order":
            terms = parse_order(value, self._terms)
            self._spend(sum([1 + len(term.field.path) for term in terms]))
            self._orders.append((self._path_and_field(key)[0], terms))
        elif word in ("limit", "offset"):
            self._bounds.setdefault(head, {}).setdefault(word, value)
        elif word in ("and", "or"):
            self._has_logic = True
            self._require_few_elements(value)
            path, tree = parse_logic(key, value, self._terms)
            self._spend(groups_in(tree))
            self._conditions.append((path, numbered_tree(tree, self._numbered)))
        elif word == "distinct" and value in ("true", "false"):
            # No filter, as it has no operator.
            if value == "true":
                self._distinct.append(_path(head))
        else:
            self._filter(key, value)

    def _filter(self, key: str, value: str) -> None:
        if LIST.match(value):
            self._require_few_elements(value)
        operation = operation_in(value) if self._call else parse_operation(value)
        if operation is None and "." not in key and not key.startswith('"'):
            # An argument's name is what stands there; only one with a dot or a quote in it has to be quoted.
            if too_long(key):
                raise TooLong
            self._arguments.append((key, value))
            return
        path, column = self._path_and_field(key)
        if operation is None and not path:
            self._arguments.append((column.name, value))
            return
        operation = operation or parse_operation(value)
        self._names.append(key)
        self._conditions.append((path, self._numbered(column, operation)))

    def _numbered(self, column: Field, operation: Operation) -> Filter:
        self._spend(1 + len(column.path))
        if operation.operator.constant in PRESENCE and not column.path:
            self._asked[column.name] += 1
        if operation.operator.name in SEARCHES and len(operation.value or "") > self._limits.pattern:
            message = f"A pattern or a text to search for may have at most {self._limits.pattern:,} characters"
            raise too_much(message)
        if operation.operator.quantifier is not None:
            self._require_few_choices(operation.value or "")
        if operation.operator.name in REGULAR_EXPRESSIONS:
            self._require_few_states(operation)
        return numbered(column, operation, self._values)

    def _select(self) -> tuple[SelectItem, ...]:
        if "select" not in self._given:
            return ALL_COLUMNS
        items = parse_select(self._given["select"], self._terms)
        terms = _terms_of(items)
        self._spend(terms)
        # Few fields cannot be one field too often.
        if terms > self._limits.repeats and max(Counter(_shown(items, "")).values(), default=0) > self._limits.repeats:
            message = f"A field of a resource may be selected at most {self._limits.repeats:,} times"
            raise too_much(message)
        self._require_few_embeds(items)
        return items

    def _require_few_embeds(self, items: tuple[SelectItem, ...]) -> None:
        """PostgreSQL's planning time grows faster than the number of joins."""
        if _joins(items, self._asked) > self._limits.embeds:
            message = (
                f"There may be at most {self._limits.embeds:,} embedded resources, "
                "those in a filter for null counted again"
            )
            raise too_much(message)

    def _columns(self, parameter: str) -> tuple[str, ...] | None:
        if parameter not in self._given:
            return None
        names = parse_columns(parameter, self._given[parameter], self._terms)
        self._spend(len(names))
        return names

    def _path_and_field(self, key: str) -> tuple[Path, Field]:
        path, column = parse_tree_path(key, self._terms)
        self._spend(len(path))
        return path, column

    def _spend(self, terms: int) -> None:
        """Raises TooMany when the request has none left."""
        self._terms -= terms
        if self._terms < 0:
            raise TooMany

    def _require_few_elements(self, text: str) -> None:
        self._elements -= text.count(",") + 1
        if self._elements < 0:
            message = f"Lists may have at most {self._limits.elements:,} elements"
            raise too_much(message)

    def _require_few_choices(self, text: str) -> None:
        self._choices -= text.count(",") + 1
        if self._choices < 0:
            message = f"Lists of any and all may have at most {self._limits.choices:,} elements"
            raise too_much(message)

    def _require_few_states(self, operation: Operation) -> None:
        size = states_of_array if operation.operator.quantifier is not None else states
        try:
            self._states -= size(operation.value or "", folded=operation.operator.name == "imatch")
        except OtherSyntax:
            message = (
                "A regular expression may have no comments, no *** in front and no options but c, i, m, n, p, s, t, w"
            )
            raise too_much(message) from None
        if self._states < 0:
            message = (
                f"Regular expressions may have at most {self._limits.states:,} characters and repetitions of them, "
                "a thousandth with references back"
            )
            raise too_much(message)

    def _root_window(self, window: RowRange) -> list[Window]:
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
        rows = limit if limit is not None and 0 <= limit <= MAX_PLANNED_PAGE_SIZE else None
        return Window(path, self._position(limit if rows is None else None), self._position(offset), rows)

    def _position(self, value: int | None) -> int:
        if value is None:
            return -1
        self._values.append(value)
        return len(self._values) - 1


def _terms_of(items: tuple[SelectItem, ...]) -> int:
    return sum(
        [1 + (len(item.field.path) if isinstance(item, SelectField) else _terms_of(item.items)) for item in items]
    )


def _joins(items: tuple[SelectItem, ...], asked: Counter[str]) -> int:
    """The number of joins of `items`: an embed repeats its inner joins for each filter that is `asked` for it."""
    return sum(
        [(1 + asked[item.label]) * (1 + _joins(item.items, asked)) for item in items if isinstance(item, SelectEmbed)]
    )


def _shown(items: tuple[SelectItem, ...], resource: str) -> Iterator[tuple[object, ...]]:
    """What is selected, whatever it is called: an answer is as long as its rows times this."""
    for item in items:
        if isinstance(item, SelectField):
            yield resource, item.field, item.aggregate
        else:
            yield from _shown(item.items, item.name)


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


def encoded(text: str) -> str:
    """Percent-encoded, but for characters that never need it."""
    if PLAIN.fullmatch(text):
        return text
    return _encoded(text) if len(text) <= MAX_CACHED_LENGTH else quote(text, safe="-_.~")


@lru_cache(4096)
def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
