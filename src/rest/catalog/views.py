"""Traces columns of views to columns of tables, in the parse trees that Postgres stores."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

TOKENS = re.compile(
    r"\\."  # an escaped character, inside a name
    r"|\{(\w+)"  # a node opens
    r"|(\})"
    r"|:resno (\d+)|:resorigtbl (\d+)|:resorigcol (\d+)",
    re.DOTALL,
)
# The query itself is nesting level one, its target entries are level two.
OWN_LEVEL = 2


class Origin(NamedTuple):
    """A column of a relation, by oid and number."""

    relation: int
    column: int


class View(NamedTuple):
    """A view's column names, and the origin of each column by its number."""

    oid: int
    schema: str
    name: str
    names: list[str]
    origins: dict[int, Origin]


class TableKey(NamedTuple):
    """A primary key (p), foreign key (f) or what one refers to (f_ref)."""

    kind: str
    constraint: str
    relation: int
    columns: tuple[int, ...]


class ViewKey(NamedTuple):
    """A key behind a view, with the view's column for each column of the key."""

    view: View
    kind: str
    constraint: str
    relation: int
    columns: tuple[str, ...]


def origins_of(definition: str) -> dict[int, Origin]:
    """The origins of a stored query's columns. `definition` is the text of pg_rewrite.ev_action."""
    found: dict[int, Origin] = {}
    level = 0
    nodes: list[str] = []
    number = table = 0
    for match in TOKENS.finditer(definition):
        opened, closed, resno, origin_table, origin_column = match.groups()
        if opened is not None:
            level += 1
            nodes.append(opened)
        elif closed is not None:
            level -= 1
            nodes.pop()
        elif level == OWN_LEVEL and nodes[-1] == "TARGETENTRY":
            if resno is not None:
                number = int(resno)
            elif origin_table is not None:
                table = int(origin_table)
            elif origin_column is not None and table:
                found[number] = Origin(table, int(origin_column))
    return found


def view_keys(views: Iterable[View], keys: Iterable[TableKey]) -> Iterator[ViewKey]:
    """Keys whose columns a view shows completely, also through other views. A column shown twice gives two keys."""
    by_oid = {view.oid: view for view in views}
    by_relation: dict[int, list[TableKey]] = defaultdict(list)
    for key in keys:
        by_relation[key.relation].append(key)
    for view in by_oid.values():
        shown: dict[Origin, list[str]] = defaultdict(list)
        for number in sorted(view.origins):
            for origin in _through(view, number, by_oid):
                shown[origin].append(view.names[number - 1])
        for relation in dict.fromkeys(origin.relation for origin in shown):
            for key in by_relation[relation]:
                columns = [shown.get(Origin(relation, column), []) for column in key.columns]
                for combination in product(*columns):
                    yield ViewKey(view, key.kind, key.constraint, relation, combination)


def _through(view: View, number: int, by_oid: dict[int, View]) -> Iterator[Origin]:
    seen: set[int] = set()
    origin = view.origins.get(number)
    while origin is not None and origin.relation not in seen:
        yield origin
        seen.add(origin.relation)
        below = by_oid.get(origin.relation)
        origin = below.origins.get(origin.column) if below else None
