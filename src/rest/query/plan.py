"""The parsed request: columns, filters, order and embeds, with values numbered and kept apart.

Requests that differ only in their values have equal plans, so a plan is the key of the cached SQL. Named tuples hash
fast.
"""

from __future__ import annotations

from typing import NamedTuple


class JsonStep(NamedTuple):
    """One arrow of a JSON path: `->` keeps JSON, `->>` (`as_text`) gives text. `key` is a key or an index."""

    key: str | int
    as_text: bool = False


class Field(NamedTuple):
    """A column, computed field or `*`, with a path into it."""

    name: str
    path: tuple[JsonStep, ...] = ()


class SelectField(NamedTuple):
    """One field of `select`: alias:field::cast.aggregate()::aggregate_cast."""

    field: Field
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


class SelectEmbed(NamedTuple):
    """An embedded resource of `select`: alias:name!hint!inner(items), or ...name(items) when `spread`."""

    name: str
    items: tuple[SelectItem, ...] = ()
    alias: str | None = None
    hint: str | None = None
    join: str | None = None
    spread: bool = False

    @property
    def label(self) -> str:
        """The key under which the embedded rows appear."""
        return self.alias or self.name


SelectItem = SelectField | SelectEmbed


class OrderTerm(NamedTuple):
    """`relation` names an embedded resource to order by; None for the resource's own field."""

    field: Field
    relation: str | None = None
    direction: str | None = None
    nulls: str | None = None


class Operator(NamedTuple):
    """A filter's operator without its value. `constant` is the operand of `is`, the only one that is no parameter."""

    name: str
    negated: bool = False
    quantifier: str | None = None
    constant: str | None = None
    has_language: bool = False


class Filter(NamedTuple):
    """`value` and `language` are positions in the request's list of values; -1 where there is none."""

    field: Field
    operator: Operator
    value: int = -1
    language: int = -1


class Logic(NamedTuple):
    """`and`, `or` over filters and further trees, possibly negated."""

    operator: str
    parts: tuple[Condition, ...]
    negated: bool = False


Condition = Filter | Logic
Path = tuple[str, ...]


class Window(NamedTuple):
    """LIMIT and OFFSET of one level as positions of values; -1 where there is none. The root's path is ().

    `rows` is a limit that is part of the plan: a page of a usual size. Postgres plans a statement anew at every call
    when it does not know how few rows are wanted.
    """

    path: Path
    limit: int = -1
    offset: int = -1
    rows: int | None = None


class Plan(NamedTuple):
    """What a query string asks for. Paths say at which embedded resource a part applies; () is the root."""

    select: tuple[SelectItem, ...] = (SelectField(Field("*")),)
    conditions: tuple[tuple[Path, Condition], ...] = ()
    orders: tuple[tuple[Path, tuple[OrderTerm, ...]], ...] = ()
    windows: tuple[Window, ...] = ()
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    distinct: tuple[Path, ...] = ()
