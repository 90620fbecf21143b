"""Prepares aggregates and spreads: columns in place of `*`, lifted fields, the order of arrays."""

from __future__ import annotations

from dataclasses import replace

from src.rest.catalog.model import JSON, Catalog
from src.rest.errors import no_to_many_aggregates
from src.rest.sql.nodes import made_name
from src.rest.sql.resolved import Embed, Level, Order, Output, Reference, SpreadField


def expand_stars(catalog: Catalog, level: Level, *, inside: bool = False, spread: bool = False) -> None:
    """Replace `*` by its columns where rows are grouped, or a column has its own representation."""
    grouped = inside or any(output.aggregate for output in level.outputs)
    represented = any((c.type, JSON) in catalog.representations for c in (level.columns or {}).values())
    if level.columns is not None and (grouped or represented):
        outputs: list[Output] = []
        for output in level.outputs:
            if output.reference.name != "*" or output.reference.path:
                outputs.append(output)
            elif output.aggregate is None:
                outputs += [
                    Output(Reference(c.name, c), c.name, formatter=catalog.representations.get((c.type, JSON)))
                    for c in level.columns.values()
                ]
            else:
                whole = Reference("*", whole_row=True) if spread else output.reference
                outputs.append(replace(output, reference=whole))
        level.outputs = outputs
    for embed in level.embeds:
        expand_stars(catalog, embed.level, inside=grouped or embed.spreads_many, spread=embed.spread)


def spread_fields(level: Level) -> None:
    """Name the lifted fields of spread embeds.

    Aggregates of a to-one spread are computed in the parent.
    """
    for embed in level.embeds:
        spread_fields(embed.level)
        if not embed.spread:
            continue
        embed.fields = _lifted(embed.level)
        if not embed.spreads_many:
            _strip(embed.level)
            continue
        if any(field.aggregate for field in embed.fields):
            raise no_to_many_aggregates()
        embed.fields = [replace(field, bound=embed.bound) for field in embed.fields]


def _lifted(level: Level) -> list[SpreadField]:
    fields = [
        SpreadField(output.label or "*", output.label, output.aggregate, output.aggregate_cast)
        for output in level.outputs
    ]
    for embed in level.embeds:
        if embed.spread:
            fields += [replace(field, name=field.label or field.name) for field in embed.fields]
        elif not embed.empty:
            fields.append(SpreadField(embed.label, embed.label, bound=embed.bound))
    return fields


def _strip(level: Level) -> None:
    """Leave aggregation to the parent."""
    level.outputs = [replace(output, aggregate=None, aggregate_cast=None) for output in level.outputs]
    for embed in level.embeds:
        embed.fields = [replace(field, aggregate=None, aggregate_cast=None) for field in embed.fields]


def order_arrays(level: Level) -> None:
    """Order a to-many spread in its arrays, by columns that are selected only for that."""
    for embed in level.embeds:
        if embed.spreads_many:
            _order_array(embed)
        order_arrays(embed.level)


def _order_array(embed: Embed) -> None:
    for position, order in enumerate(embed.level.orders, 1):
        label = made_name(embed.alias, order.reference.name, position)
        embed.hidden.append((order, label))
        embed.array_order.append(Order(Reference(label), order.direction, order.nulls, embed.alias))
    embed.level.orders = []
