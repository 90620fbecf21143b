"""Writes a resolved level with its embeds as one SELECT, and the query that counts its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from src.rest.catalog.model import JSON, JSONB, TEXT, Junction, Name, TypeName
from src.rest.query.plan import Window
from src.rest.sql import nodes, selects
from src.rest.sql.nodes import Node, Parameters, Query, Slot
from src.rest.sql.resolved import (
    Condition,
    Embed,
    EmbedIsNull,
    Level,
    Order,
    Output,
    Reference,
    SpreadField,
    Test,
    Tree,
)

REGCONFIG = TypeName("pg_catalog", "regconfig")
TSVECTOR = TypeName("pg_catalog", "tsvector")
TO_QUERY = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
PATTERNS = frozenset({"like", "ilike", "match", "imatch"})
JSON_TYPES = frozenset({JSON, JSONB})
NO_WINDOW = Window(())


class ReadWriter:
    """Writes levels into statements that share `parameters`. `max_rows` caps the rows of every window."""

    def __init__(self, parameters: Parameters, max_rows: int | None = None) -> None:
        self._parameters = parameters
        self._max_rows = max_rows

    def query(self, level: Level, embed: Embed | None = None) -> Query:
        """The SELECT of a level; `embed` is the level's place in its parent."""
        fields = [self._output(level, output) for output in level.outputs]
        if not level.outputs and not level.embeds:
            # An empty embed only joins rows, so it needs no right to read columns.
            fields = [nodes.column(level.qualifier, "*") if embed is None else nodes.number(1)]
        if embed is not None:
            fields += [nodes.alias(self._ordered_by(level, order), label) for order, label in embed.hidden]
        fields += [field for child in level.embeds for field in self._embedded(child)]
        joins = [self._join(child) for child in level.embeds]
        if embed is not None and embed.relationship.junction:
            joins.insert(0, selects.join(self._junction(embed, embed.relationship.junction), "cross"))
        where = [self.condition(level, condition) for condition in level.conditions]
        if embed is not None:
            where += self._join_conditions(embed)
            where += self._counted(embed)
        limit, offset = self._window(level)
        return selects.select(
            fields or [nodes.null()],
            self._source(level, embed),
            joins=joins,
            where=where,
            group=self._groups(level),
            order=[self._order(level, order) for order in level.orders],
            limit=limit,
            offset=offset,
            distinct=level.distinct,
        )

    def total(self, root: Level) -> Query:
        """A row for each row of the root without its window."""
        if not root.distinct:
            return self.count(root)
        rows = ReadWriter(self._parameters).query(replace(root, window=None, orders=[]))
        return selects.select([nodes.number(1)], selects.subquery(rows, "pgrst_distinct"))

    def count(self, level: Level, embed: Embed | None = None) -> Query:
        """`SELECT 1` for each row of the level without its window; inner embeds become EXISTS."""
        where = [self._counted_condition(level, condition) for condition in level.conditions]
        if embed is not None:
            where += self._join_conditions(embed)
        where += [nodes.exists(self.count(child.level, child)) for child in level.embeds if child.inner]
        joins = []
        if embed is not None and embed.relationship.junction:
            joins.append(selects.join(self._junction(embed, embed.relationship.junction), "cross"))
        return selects.select([nodes.number(1)], self._source(level, embed), joins=joins, where=where)

    def _source(self, level: Level, embed: Embed | None) -> Node:
        if level.source is not None:
            return selects.table(level.source, level.qualifier)
        if embed is not None and embed.relationship.function is not None:
            # The cast chooses among overloads, and types the row of a common table expression.
            row = nodes.cast_to_row(nodes.row(embed.parent), embed.parent_relation)
            return selects.function_table(nodes.call(embed.relationship.function, row), level.qualifier)
        alias = level.qualifier if level.qualifier != level.relation.name else None
        return selects.table(level.relation, alias)

    def _junction(self, embed: Embed, junction: Junction) -> Node:
        return selects.table(junction.table, self._junction_alias(embed, junction))

    def _junction_alias(self, embed: Embed, junction: Junction) -> str:
        return nodes.made_name(embed.alias, junction.table.name)

    def _join_conditions(self, embed: Embed) -> Iterator[Node]:
        own = embed.level.qualifier
        junction = embed.relationship.junction
        if junction:
            between = self._junction_alias(embed, junction)
            for end, column in junction.far:
                yield nodes.equal(nodes.column(own, end), nodes.column(between, column))
            for end, column in junction.near:
                yield nodes.equal(nodes.column(between, column), nodes.column(embed.parent, end))
        for parent_column, column in embed.relationship.columns:
            yield nodes.equal(nodes.column(own, column), nodes.column(embed.parent, parent_column))

    def _counted(self, embed: Embed) -> Iterator[Node]:
        """Counts each row where it is found: inner joins may drop all of them later, and then no list tells of them."""
        if embed.counted is None:
            return
        relationship = embed.relationship
        if relationship.junction:
            found = nodes.column(self._junction_alias(embed, relationship.junction), relationship.junction.far[0][1])
        elif relationship.columns:
            found = nodes.column(embed.level.qualifier, relationship.columns[0][1])
        else:
            found = nodes.row(embed.level.qualifier)
        yield nodes.is_null(_bounded(embed.counted, nodes.call("to_jsonb", found)), negated=True)

    def _join(self, embed: Embed) -> selects.Join:
        kind = "inner" if embed.inner else "left"
        query = self.query(embed.level, embed)
        if embed.relationship.to_one:
            return selects.join(selects.lateral(query, embed.alias), kind, nodes.true())
        if embed.spread:
            fields = [nodes.alias(self._array_of(embed, field), field.label or field.name) for field in embed.fields]
        else:
            fields = []
        rows = nodes.call("jsonb_agg", nodes.call("to_jsonb", nodes.row(embed.alias)))
        gathered = selects.select([nodes.alias(rows, embed.alias), *fields], selects.subquery(query, embed.alias))
        on = nodes.is_null(nodes.column(embed.alias, embed.alias), negated=True) if embed.inner else nodes.true()
        return selects.join(selects.lateral(gathered, embed.alias), kind, on)

    def _array_of(self, embed: Embed, field: SpreadField) -> Node:
        order = [self._order(embed.level, item) for item in embed.array_order]
        values = nodes.aggregate("jsonb_agg", nodes.column(embed.alias, field.name), order)
        return nodes.coalesce(values, nodes.cast(nodes.literal("[]"), JSONB))

    def _embedded(self, embed: Embed) -> Iterator[Node]:
        """What a parent selects of an embed."""
        if embed.spread:
            for field in embed.fields:
                node = self._lifted(embed, field)
                yield (
                    node if field.name == "*" and field.label is None else nodes.alias(node, field.label or field.name)
                )
        elif not embed.empty:
            yield nodes.alias(self._shown(embed), embed.label)

    def _shown(self, embed: Embed) -> Node:
        if embed.relationship.to_one:
            return _bounded(embed.bound, nodes.call("to_jsonb", self._joined(embed)))
        return _bounded(embed.bound, nodes.coalesce(self._joined(embed), nodes.cast(nodes.literal("[]"), JSONB)))

    def _joined(self, embed: Embed) -> Node:
        """The row of a to-one embed, the array of another."""
        return nodes.row(embed.alias) if embed.relationship.to_one else nodes.column(embed.alias, embed.alias)

    def _lifted(self, embed: Embed, field: SpreadField) -> Node:
        name = (field.label or field.name) if embed.spreads_many else field.name
        value = _bounded(field.bound, nodes.column(embed.alias, name))
        return self._aggregated(value, field.aggregate, field.aggregate_cast)

    def _groups(self, level: Level) -> list[Node]:
        lifted = [(embed, field) for embed in level.embeds if embed.spread for field in embed.fields]
        if not any(o.aggregate for o in level.outputs) and not any(field.aggregate for _, field in lifted):
            return []
        groups = [self._output_value(level, output) for output in level.outputs if not output.aggregate]
        groups += [self._shown(embed) for embed in level.embeds if not embed.spread and not embed.empty]
        return groups + [self._lifted(embed, field) for embed, field in lifted if not field.aggregate]

    def _output(self, level: Level, output: Output) -> Node:
        value = self._aggregated(self._output_value(level, output), output.aggregate, output.aggregate_cast)
        return value if output.label is None else nodes.alias(value, output.label)

    def _output_value(self, level: Level, output: Output) -> Node:
        if output.aggregate and output.reference.name == "*" and not output.reference.whole_row:
            return nodes.star()
        value = self.reference(level.qualifier, output.reference)
        if output.formatter is not None:
            value = nodes.call(output.formatter, value)
        return value if output.cast is None else nodes.cast(_bounded(output.bound, value), output.cast)

    def _aggregated(self, value: Node, aggregate: str | None, cast: TypeName | None) -> Node:
        if aggregate is None:
            return value
        result = nodes.call(aggregate, value)
        return result if cast is None else nodes.cast(result, cast)

    def reference(self, qualifier: str, reference: Reference) -> Node:
        """A field of the row named `qualifier`, followed along its JSON path."""
        if reference.whole_row:
            return nodes.row(qualifier)
        if reference.function is not None:
            node = nodes.call(reference.function, nodes.row(qualifier))
        else:
            node = nodes.column(qualifier, reference.name)
        if not reference.path:
            return node
        is_json = reference.column is not None and reference.column.base in JSON_TYPES
        return nodes.json_path(node if is_json else nodes.call("to_jsonb", node), reference.path)

    def _ordered_by(self, level: Level, order: Order) -> Node:
        return self.reference(order.qualifier or level.qualifier, order.reference)

    def _order(self, level: Level, order: Order) -> Node:
        return nodes.ordered(self._ordered_by(level, order), order.direction, order.nulls)

    def _window(self, level: Level) -> tuple[Node | None, Node | None]:
        window = level.window or NO_WINDOW
        offset = self._parameters.raw(Slot("value", window.offset)) if window.offset >= 0 else None
        if window.limit >= 0:
            kind = "value" if self._max_rows is None else "capped"
            return self._parameters.raw(Slot(kind, window.limit)), offset
        rows = [bound for bound in (window.rows, self._max_rows) if bound is not None]
        return nodes.number(min(rows)) if rows else None, offset

    def condition(self, level: Level, condition: Condition) -> Node:
        if isinstance(condition, Tree):
            return self._tree(condition, [self.condition(level, part) for part in condition.parts])
        if isinstance(condition, EmbedIsNull):
            return nodes.distinct_from_null(self._joined(condition.embed), negated=not condition.negated)
        return self._test(level, condition)

    def _counted_condition(self, level: Level, condition: Condition) -> Node:
        if isinstance(condition, Tree):
            return self._tree(condition, [self._counted_condition(level, part) for part in condition.parts])
        if isinstance(condition, EmbedIsNull):
            found = nodes.exists(self.count(condition.embed.level, condition.embed))
            return found if condition.negated else nodes.negate(found)
        return self._test(level, condition)

    def _tree(self, tree: Tree, parts: list[Node]) -> Node:
        node = nodes.joined(tree.operator, parts)
        return nodes.negate(node) if tree.negated else node

    def _test(self, level: Level, test: Test) -> Node:
        node = self._positive(self.reference(level.qualifier, test.reference), test)
        return nodes.negate(node) if test.operator.negated else node

    def _positive(self, field: Node, test: Test) -> Node:
        name = test.operator.name
        if test.operator.constant is not None:
            return nodes.is_constant(field, test.operator.constant)
        if name in TO_QUERY:
            return self._full_text(field, test)
        slot = Slot("value", test.value)
        type_name, array = _types(test.reference)
        if name == "in":
            return self._in(field, test, array)
        if name in PATTERNS:
            type_name, array = TEXT, TEXT.array
        if test.operator.quantifier is not None or _is_array(test):
            value = self._list(slot, array)
        elif test.parser is not None and name not in PATTERNS:
            value = nodes.call(test.parser, self._parameters.text(slot))
        else:
            value = self._parameters.typed(slot, type_name)
        return nodes.compare(name, field, value, test.operator.quantifier)

    def _in(self, field: Node, test: Test, array: TypeName) -> Node:
        slot = Slot("value", test.value)
        if test.parser is not None:
            items = nodes.call("unnest", self._parameters.typed(slot, TEXT.array))
            return nodes.any_of_query(field, selects.select([nodes.call(test.parser, items)]))
        return nodes.compare("eq", field, self._list(slot, array), "any")

    def _list(self, slot: Slot, array: TypeName) -> Node:
        return nodes.once(self._parameters.typed(slot, array), array)

    def _full_text(self, field: Node, test: Test) -> Node:
        language = []
        if test.language >= 0:
            language.append(self._parameters.typed(Slot("value", test.language), REGCONFIG))
        column = test.reference.column
        if column is None or column.base != TSVECTOR or test.reference.path:
            field = nodes.call("to_tsvector", *language, field)
        query = nodes.call(
            TO_QUERY[test.operator.name],
            *(node.copy() for node in language),
            self._parameters.text(Slot("value", test.value)),
        )
        return nodes.matches_query(field, query)


def _bounded(bound: Name | None, value: Node) -> Node:
    """What is counted at each place where it is shown: PostgreSQL may look for it once only."""
    return value if bound is None else nodes.call(bound, value)


def _is_array(test: Test) -> bool:
    column = test.reference.column
    return column is not None and column.array is None and not test.reference.path and test.parser is None


def _types(reference: Reference) -> tuple[TypeName | None, TypeName]:
    """The type a value is compared as, and that of a list of them."""
    if reference.path:
        if reference.path[-1].as_text:
            return TEXT, TEXT.array
        base = reference.column.base if reference.column and reference.column.base == JSON else JSONB
        return base, base.array
    if reference.column is None:
        return None, TEXT.array
    return reference.column.base, reference.column.array or reference.column.base
