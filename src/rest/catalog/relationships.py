"""All relationships: foreign keys, through views, their inverses, across junctions, and computed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from src.rest.catalog.model import Cardinality, Junction, Name, Relationship, Table
from src.rest.catalog.views import ViewKey

ORDER = (
    Cardinality.ONE_TO_MANY,
    Cardinality.MANY_TO_ONE,
    Cardinality.ONE_TO_ONE,
    Cardinality.MANY_TO_MANY,
    Cardinality.COMPUTED_ONE,
    Cardinality.COMPUTED_MANY,
)
ByOrigin = Mapping[tuple[Name, str], tuple[Relationship, ...]]


def with_views(
    relationships: list[Relationship], oids: Mapping[tuple[str, str, Name], int], keys: Iterable[ViewKey]
) -> list[Relationship]:
    """Each foreign key again for every view that shows its columns, on either side or on both.

    `oids` gives the oid of the table that holds a foreign key ("f") or is referred to by it ("f_ref"), by that kind,
    the constraint's name and the table that holds it.
    """
    by_key: dict[tuple[str, str, int], list[ViewKey]] = defaultdict(list)
    for key in keys:
        by_key[key.kind, key.constraint, key.relation].append(key)
    made = []
    for relationship in relationships:
        constraint, table = relationship.constraint, relationship.table
        own = by_key["f", constraint, oids["f", constraint, table]]
        other = by_key["f_ref", constraint, oids["f_ref", constraint, table]]
        made += [_from_view(relationship, view) for view in own]
        made += [_to_view(relationship, view) for view in other]
        made += [_to_view(_from_view(relationship, near), far) for near in own for far in other]
    return relationships + made


def _from_view(relationship: Relationship, key: ViewKey) -> Relationship:
    pairs = zip(key.columns, (other for _, other in relationship.columns), strict=True)
    return replace(relationship, table=Name(key.view.schema, key.view.name), columns=tuple(pairs), table_is_view=True)


def _to_view(relationship: Relationship, key: ViewKey) -> Relationship:
    pairs = zip((own for own, _ in relationship.columns), key.columns, strict=True)
    return replace(
        relationship, foreign=Name(key.view.schema, key.view.name), columns=tuple(pairs), foreign_is_view=True
    )


def with_junctions(relationships: list[Relationship], tables: Mapping[Name, Table]) -> list[Relationship]:
    """Many-to-many: two foreign keys of one table whose columns all belong to its primary key."""
    by_table: dict[Name, list[Relationship]] = defaultdict(list)
    for relationship in relationships:
        if relationship.cardinality is Cardinality.MANY_TO_ONE:
            by_table[relationship.table].append(relationship)
    return relationships + [
        _across(near, far)
        for junction, keys in by_table.items()
        for near in keys
        for far in keys
        if near.constraint != far.constraint
        and {own for own, _ in near.columns + far.columns}
        <= set(tables[junction].primary_key if junction in tables else ())
    ]


def _across(near: Relationship, far: Relationship) -> Relationship:
    return Relationship(
        table=near.foreign,
        foreign=far.foreign,
        cardinality=Cardinality.MANY_TO_MANY,
        junction=Junction(
            near.table,
            near.constraint,
            far.constraint,
            tuple((end, own) for own, end in near.columns),
            tuple((end, own) for own, end in far.columns),
        ),
        table_is_view=near.foreign_is_view,
        foreign_is_view=far.foreign_is_view,
    )


def with_inverses(relationships: list[Relationship]) -> list[Relationship]:
    return relationships + list(_inverses(relationships))


def _inverses(relationships: list[Relationship]) -> Iterator[Relationship]:
    for relationship in relationships:
        if relationship.cardinality in (Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_ONE):
            one = relationship.cardinality is Cardinality.ONE_TO_ONE
            yield replace(
                relationship,
                table=relationship.foreign,
                foreign=relationship.table,
                cardinality=Cardinality.ONE_TO_ONE if one else Cardinality.ONE_TO_MANY,
                columns=tuple((other, own) for own, other in relationship.columns),
                table_is_view=relationship.foreign_is_view,
                foreign_is_view=relationship.table_is_view,
                is_parent=one,
            )


def exposed(relationships: Iterable[Relationship], schemas: Iterable[str]) -> ByOrigin:
    """Relationships by origin and the foreign table's schema; computed ones replace detected ones of the same name."""
    kept: dict[tuple[Name, str], list[Relationship]] = defaultdict(list)
    allowed = set(schemas)
    computed = [r for r in relationships if r.function]
    replaced = {(r.table, r.function.name) for r in computed if r.function}
    for relationship in relationships:
        inside = {relationship.table.schema, relationship.foreign.schema}
        if relationship.junction:
            inside.add(relationship.junction.table.schema)
        shadowed = not relationship.function and (relationship.table, relationship.foreign.name) in replaced
        if inside <= allowed and not shadowed:
            kept[relationship.table, relationship.foreign.schema].append(relationship)
    return {key: tuple(sorted(found, key=_place)) for key, found in kept.items()}


def _place(relationship: Relationship) -> tuple[object, ...]:
    """The sort key of PostgREST's order, in which an ambiguity lists its candidates."""
    junction = relationship.junction
    return (
        relationship.foreign,
        relationship.is_self,
        ORDER.index(relationship.cardinality),
        relationship.constraint,
        relationship.columns,
        (junction.table, junction.constraint, junction.far_constraint, junction.near, junction.far) if junction else (),
    )
