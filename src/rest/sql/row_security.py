"""Which roles may see the planner's estimates, which count all rows of a table, and which reads are guarded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from src.rest.catalog.model import Catalog, Name
from src.rest.sql.resolved import Condition, Embed, EmbedIsNull, Level, Tree

NOBODY: frozenset[str] = frozenset()


def seers_of_all(catalog: Catalog, root: Level) -> frozenset[str] | None:
    """The roles that see all rows of every relation that ReadWriter.count reads; None when every role does.

    Functions and unknown relations count as seen by no role.
    """
    seers: frozenset[str] | None = None
    for relation in _counted(root):
        table = catalog.tables.get(relation) if relation is not None else None
        found = NOBODY if table is None else table.seers
        if found is not None:
            seers = found if seers is None else seers & found
    return seers


def is_guarded(catalog: Catalog, root: Level) -> bool:
    """Whether any relation that is read is guarded."""
    tables = [catalog.tables.get(relation) for relation in _read(root) if relation is not None]
    return any(table.guarded for table in tables if table is not None)


def _read(level: Level) -> Iterator[Name | None]:
    yield level.relation
    for embed in [*level.embeds, *_tested(level.conditions)]:
        if embed.relationship.junction is not None:
            yield embed.relationship.junction.table
        yield from _read(embed.level)


def _counted(level: Level) -> Iterator[Name | None]:
    """The relations that are counted; None for a function."""
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
