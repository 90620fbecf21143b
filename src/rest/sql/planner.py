"""Resolves a parsed plan with the catalog. Raises RestError for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from src.rest.catalog.lookups import find_cast, find_relationship, unknown_column
from src.rest.catalog.model import JSON, TEXT, Cardinality, Catalog, Name, TypeName
from src.rest.errors import RestError, no_aggregates, not_embedded
from src.rest.query.plan import Condition as Asked
from src.rest.query.plan import Field, Filter, OrderTerm, Path, Plan, SelectEmbed, SelectField, SelectItem
from src.rest.sql.aggregates import expand_stars, order_arrays, spread_fields
from src.rest.sql.nodes import made_name
from src.rest.sql.resolved import (
    Condition,
    Embed,
    EmbedIsNull,
    Level,
    Order,
    Output,
    Reference,
    Test,
    Tree,
)

SOURCE = "pgrst_source"
# In these embeds a row belongs to one row of the parent.
SHOWN_ONCE = (Cardinality.ONE_TO_MANY, Cardinality.ONE_TO_ONE)
# Types with short values, whatever they are cast to or from.
SHORT = frozenset(
    TypeName("pg_catalog", name)
    for name in (
        *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "uuid", "interval"),
        *("date", "time", "timetz", "timestamp", "timestamptz"),
    )
)
# Types with values as long as their text.
AS_LONG = SHORT | {
    TypeName("pg_catalog", name) for name in ("text", "varchar", "bpchar", "name", "json", "xml", "bytea")
}


@dataclass(slots=True)
class ReadPlanner:
    """Resolves one request. `legacy_names` lets filters name an aliased embed by its relation, with a warning.

    `bound`, `cast_bound`: see Configuration.
    """

    catalog: Catalog
    aggregates: bool = False
    legacy_names: bool = True
    bound: Name | None = None
    cast_bound: Name | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def resolve(self, root: Level, plan: Plan, *, only_embeds: bool = False) -> Level:
        """Fill `root` with what `plan` asks for. `only_embeds` leaves out the root's own filters (writes have them)."""
        self._select(root, plan.select)
        for path in plan.distinct:
            self._level(root, path).distinct = True
        for path, condition in plan.conditions:
            if path or not only_embeds:
                level = self._level(root, path)
                level.conditions.append(self._condition(level, condition))
        for path, terms in plan.orders:
            level = self._level(root, path)
            level.orders = [self._order(level, term) for term in terms]
        for window in plan.windows:
            if window.path or not only_embeds:
                self._level(root, window.path).window = window
        expand_stars(self.catalog, root)
        spread_fields(root)
        order_arrays(root)
        return root

    def conditions(self, level: Level, conditions: Iterable[tuple[Path, Asked]]) -> list[Condition]:
        """The root's own conditions, for a write."""
        return [self._condition(level, condition) for path, condition in conditions if not path]

    def _select(self, level: Level, items: Iterable[SelectItem]) -> None:
        for item in items:
            if isinstance(item, SelectField):
                level.outputs.append(self._output(level, item))
            else:
                level.embeds.append(self._embed(level, item))

    def _output(self, level: Level, item: SelectField) -> Output:
        if item.aggregate and not self.aggregates:
            raise no_aggregates()
        if item.field.name == "count" and not item.field.path and not self._has(level, "count"):
            # The old spelling of count(), which is always allowed.
            item = item._replace(field=Field("*"), aggregate="count")
        reference = self.reference(level, item.field)
        column = reference.column
        cast = find_cast(self.catalog, item.cast) if item.cast else None
        short = column is not None and not reference.path and column.base in SHORT
        return Output(
            reference,
            item.alias or _label(item),
            cast,
            item.aggregate,
            find_cast(self.catalog, item.aggregate_cast) if item.aggregate_cast else None,
            self.catalog.representations.get((column.type, JSON)) if column and not reference.path else None,
            None if cast is None or cast in AS_LONG or short else self.cast_bound,
        )

    def _has(self, level: Level, name: str) -> bool:
        return level.columns is None or name in level.columns or name in self.catalog.computed.get(level.relation, {})

    def _embed(self, parent: Level, item: SelectEmbed) -> Embed:
        relationship = find_relationship(self.catalog, parent.relation, item.name, item.hint)
        depth = parent.depth + 1
        table = self.catalog.tables.get(relationship.foreign)
        level = Level(
            relationship.foreign,
            _other_than(parent.qualifier, made_name(relationship.foreign.name, depth)),
            table.columns if table else None,
            depth=depth,
            repeats=parent.repeats or relationship.cardinality not in SHOWN_ONCE,
        )
        self._select(level, item.items)
        alias = made_name(relationship.table.name, item.label, depth)
        if any(embed.alias == alias and (embed.spread or item.spread) for embed in parent.embeds):
            # A spread embed has no key in the answer, so a relation may be spread several times.
            alias = made_name(alias, len(parent.embeds))
        repeated = not relationship.to_one and (parent.repeats or relationship.function is not None)
        return Embed(
            level,
            relationship,
            item.name,
            item.label,
            alias,
            parent.qualifier,
            parent.relation,
            inner=item.join == "inner",
            spread=item.spread,
            # Lists inside what is shown again and again are as long as the product of all; so is what holds them.
            bound=self.bound if repeated or any(embed.bound for embed in level.embeds) else None,
            counted=self.bound if repeated else None,
        )

    def _level(self, level: Level, path: Path) -> Level:
        for name in path:
            embed = next((e for e in level.embeds if name == e.label), None)
            if embed is None and self.legacy_names:
                embed = next((e for e in level.embeds if name == e.name), None)
                if embed is not None:
                    self.warnings.append((embed.name, embed.label))
            if embed is None:
                raise self._not_embedded(level, name)
            level = embed.level
        return level

    def _not_embedded(self, level: Level, name: str) -> RestError:
        aliased = next((e for e in level.embeds if name == e.name), None)
        if aliased is None:
            return not_embedded(name)
        return RestError(
            400,
            "PGRST108",
            f"'{name}' is not an embedded resource in this request",
            "Target names are not allowed in filters if they have an alias",
            f"Change '{name}' to '{aliased.label}' in filters, orders or limits.",
        )

    def _condition(self, level: Level, condition: Asked) -> Condition:
        if isinstance(condition, Filter):
            return self._test(level, condition)
        parts = [self._condition(level, part) for part in condition.parts]
        return Tree(condition.operator, parts, condition.negated)

    def _test(self, level: Level, asked: Filter) -> Condition:
        embed = None if asked.field.path else next((e for e in level.embeds if e.label == asked.field.name), None)
        if embed is not None:
            operator = asked.operator
            if operator.constant in ("null", "not_null"):
                return EmbedIsNull(embed, operator.negated != (operator.constant == "not_null"))
            if not self._has(level, asked.field.name):
                raise RestError(
                    400,
                    "PGRST120",
                    f"Bad operator on the '{embed.label}' embedded resource",
                    "Only is null or not is null filters are allowed on embedded resources",
                )
        reference = self.reference(level, asked.field)
        parser = None
        if reference.column and not reference.path:
            parser = self.catalog.representations.get((TEXT, reference.column.type))
        return Test(reference, asked.operator, asked.value, asked.language, parser)

    def _order(self, level: Level, term: OrderTerm) -> Order:
        if term.relation is None:
            return Order(self.reference(level, term.field), term.direction, term.nulls)
        embed = next((e for e in level.embeds if e.label == term.relation), None)
        if embed is None:
            raise not_embedded(term.relation)
        if not embed.relationship.to_one:
            raise RestError(
                400,
                "PGRST118",
                f"A related order on '{embed.label}' is not possible",
                f"'{level.relation.name}' and '{embed.label}' do not form a many-to-one or one-to-one relationship",
            )
        found = self.reference(embed.level, term.field)
        reference = Reference(found.name, found.column, found.path)
        shown = {output.label for output in embed.level.outputs}
        if embed.level.outputs and None not in shown and found.name not in shown:
            raise unknown_column(embed.alias, found.name, {})
        return Order(reference, term.direction, term.nulls, embed.alias)

    def reference(self, level: Level, asked: Field) -> Reference:
        """The column, computed field or `*` that a request names. Raises RestError 42703."""
        if asked.name == "*" and not asked.path:
            return Reference("*")
        column = (level.columns or {}).get(asked.name)
        if column is not None:
            return Reference(asked.name, column, asked.path)
        computed = self.catalog.computed.get(level.relation, {}).get(asked.name)
        if computed is not None:
            # A common table expression has computed the field.
            function = None if level.source else computed.function
            return Reference(asked.name, computed, asked.path, function)
        if level.columns is None:
            return Reference(asked.name, None, asked.path)
        raise unknown_column(level.qualifier, asked.name, level.columns)


def _other_than(parent: str, qualifier: str) -> str:
    """A qualifier that differs from the parent's, as a table may be called `x_1`."""
    return qualifier if qualifier != parent else made_name(qualifier, 0)


def _label(item: SelectField) -> str | None:
    """The key of a field without alias: its last JSON key, its aggregate or its name."""
    if item.aggregate:
        return item.aggregate
    keys = [step.key for step in item.field.path if isinstance(step.key, str)]
    if item.field.path and keys:
        return keys[-1]
    return None if item.field.name == "*" else item.field.name
