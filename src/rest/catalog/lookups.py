"""Looks up a request's names in the catalog, with errors for missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from src.rest.catalog.fuzzy import edit_distance, nearest, scored
from src.rest.catalog.model import Cardinality, Catalog, Column, Name, Relationship, Table, TypeName
from src.rest.errors import RestError

MIN_LIKENESS = 0.75
TABLES_FOR_HINTS = 500
# Postgres suggests a column within this edit distance, and within half its length.
MAX_EDIT = 3


def find_table(catalog: Catalog, name: Name) -> Table:
    """The exposed relation. Raises RestError PGRST205 with the nearest name as hint."""
    table = catalog.tables.get(name)
    if table is not None:
        return table
    names = [known.name for known in catalog.tables if known.schema == name.schema]
    near = nearest(name.name, names, MIN_LIKENESS) if len(names) < TABLES_FOR_HINTS else None
    raise RestError(
        404,
        "PGRST205",
        f"Could not find the table '{name.schema}.{name.name}' in the schema cache",
        hint=f"Perhaps you meant the table '{name.schema}.{near}'" if near else None,
    )


def unknown_column(qualifier: str, name: str, columns: Mapping[str, Column]) -> RestError:
    """Postgres' own error (42703), without asking it."""
    near = _within_edits(name, columns)
    hint = None
    if near:
        hint = "Perhaps you meant to reference the column " + " or the column ".join(
            f'"{qualifier}.{column}"' for column in near
        )
    return RestError(400, "42703", f"column {qualifier}.{name} does not exist", hint=f"{hint}." if hint else None)


def _within_edits(name: str, columns: Iterable[str]) -> list[str]:
    found = []
    for column in columns:
        distance = edit_distance(name, column)
        if distance <= min(MAX_EDIT, len(column) // 2):
            found.append((distance, column))
    best = [column for distance, column in found if distance == min(found)[0]]
    return best if len(best) <= 2 else []  # noqa: PLR2004 - Postgres names one or two


def find_cast(catalog: Catalog, name: str) -> TypeName:
    """The type of a cast. Raises RestError 42704 when there is none."""
    found = catalog.casts.get(name) or catalog.casts.get(" ".join(name.lower().split()))
    if found is None:
        raise RestError(400, "42704", f'type "{name}" does not exist')
    return found


def find_relationship(catalog: Catalog, origin: Name, target: str, hint: str | None) -> Relationship:
    """The one way from `origin` to `target`, a relation, constraint or column.

    Raises RestError PGRST200 when there is none, PGRST201 when there are several.
    """
    known = catalog.relationships.get((origin, origin.schema), ())
    found = [r for r in known if _matches(r, target, hint)]
    if len(found) == 1:
        return found[0]
    raise _ambiguous(origin, target, found) if found else _no_relationship(catalog, origin, target, hint)


def _matches(relationship: Relationship, target: str, hint: str | None) -> bool:
    if relationship.function is not None:
        return target == relationship.function.name
    by_table = target == relationship.foreign.name
    one = len(relationship.columns) == 1
    own = relationship.columns[0][0] if one else None
    other = relationship.columns[0][1] if one else None
    if relationship.is_self:
        to_many = relationship.cardinality is Cardinality.ONE_TO_MANY
        if hint is None:
            to_one = relationship.cardinality is Cardinality.MANY_TO_ONE
            return (by_table and to_many) or (target == own and to_one)
        return by_table and to_many and hint == other
    if hint is None:
        by_key = target in (relationship.constraint or None, own) and not relationship.foreign_is_view
        return by_table or by_key
    junction = relationship.junction.table.name if relationship.junction else None
    return by_table and hint in (relationship.constraint or None, own, other, junction)


def _no_relationship(catalog: Catalog, origin: Name, target: str, hint: str | None) -> RestError:
    using = f" using the hint '{hint}'" if hint else ""
    known = catalog.relationships.get((origin, origin.schema))
    suggestion = None
    if known is None:
        origins = [table.name for table, schema in catalog.relationships if schema == origin.schema]
        near = nearest(origin.name, origins)
        if near:
            suggestion = f"Perhaps you meant '{near}' instead of '{origin.name}'."
    else:
        near_scores = scored(target, [r.foreign.name for r in known])
        close = [name for score, name in near_scores if score < 1]
        if close and not any(score == 1 for score, _ in near_scores):
            suggestion = f"Perhaps you meant '{close[0]}' instead of '{target}'."
    return RestError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{origin.name}' and '{target}' in the schema cache",
        f"Searched for a foreign key relationship between '{origin.name}' and '{target}'{using} "
        f"in the schema '{origin.schema}', but no matches were found.",
        suggestion,
    )


def _ambiguous(origin: Name, target: str, found: list[Relationship]) -> RestError:
    names = ", ".join(f"'{r.foreign.name}!{r.junction.table.name if r.junction else r.constraint}'" for r in found)
    return RestError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin.name}' and '{target}'",
        [_described(relationship) for relationship in found],
        f"Try changing '{target}' to one of the following: {names}. "
        "Find the desired relationship in the 'details' key.",
    )


def _described(relationship: Relationship) -> dict[str, str]:
    def listed(columns: Iterable[str]) -> str:
        return f"({', '.join(columns)})"

    if relationship.junction:
        junction = relationship.junction
        text = (
            f"{junction.table.name} using {junction.constraint}{listed(own for _, own in junction.near)}"
            f" and {junction.far_constraint}{listed(own for _, own in junction.far)}"
        )
    else:
        text = (
            f"{relationship.constraint} using {relationship.table.name}{listed(own for own, _ in relationship.columns)}"
            f" and {relationship.foreign.name}{listed(other for _, other in relationship.columns)}"
        )
    return {
        "cardinality": relationship.cardinality.value,
        "embedding": f"{relationship.table.name} with {relationship.foreign.name}",
        "relationship": text,
    }
