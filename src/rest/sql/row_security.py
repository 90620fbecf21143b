"""Whom the planner's guesses may be told: it guesses by all rows of a table, also those that a caller may not see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from src.rest.catalog.catalog import Catalog, Name
from src.rest.sql.resolved import Condition, Embed, EmbedIsNull, Level, Tree

NOBODY: frozenset[str] = frozenset()


def seers_of_all(catalog: Catalog, root: Level) -> frozenset[str] | None:
    """The roles that see all rows of every relation that ReadWriter.count looks at; None when everybody does.

    Of what is not in the catalog, and of functions, nobody is known to.
    """
    seers: frozenset[str] | None = None
    for relation in _counted(root):
        table = catalog.tables.get(relation) if relation is not None else None
        found = NOBODY if table is None else table.seers
        if found is not None:
            seers = found if seers is None else seers & found
    return seers


def _counted(level: Level) -> Iterator[Name | None]:
    """Relations, None for one that a function makes."""
    yield level.relation
    for embed in [*(embed for embed in level.embeds if embed.inner), *_tested(level.conditions)]:
        relationship = embed.relationship
        if relationship.function is not None:
            yield None
        if relationship.junction is not None:
            yield relationship.junction.table
        yield from _counted(embed.level)


def _tested(conditions: Iterable[Condition]) -> Iterator[Embed]:
    for condition in conditions:
        if isinstance(condition, Tree):
            yield from _tested(condition.parts)
        elif isinstance(condition, EmbedIsNull):
            yield condition.embed
