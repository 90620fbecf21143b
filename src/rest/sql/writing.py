"""Writes INSERT, UPDATE and DELETE, whose returned rows are the source of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from src.edge.limits import too_long
from src.rest.catalog.model import JSON, JSONB, Column, Name, Table, TypeName
from src.rest.errors import RestError, too_long_name
from src.rest.sql import nodes, selects
from src.rest.sql.nodes import Node, Parameters, Slot
from src.rest.sql.planner import SOURCE
from src.rest.sql.reading import ReadWriter
from src.rest.sql.resolved import Condition, Embed, Level, Reference, Test, Tree
from src.rest.sql.statements import page_total, setting

BODY = "pgrst_body"
ELEMENT = "pgrst_element"
INTEGER = TypeName("pg_catalog", "int4")


@dataclass(frozen=True, slots=True)
class Write:
    """The parts that all writes share. `parsers` read JSON of columns whose domain has a representation."""

    table: Table
    columns: Sequence[Column]
    parsers: Mapping[str, Name]
    returning: Sequence[Node]
    is_object: bool = True
    defaults: bool = False


def find_columns(table: Table, names: Iterable[str]) -> list[Column]:
    """The named columns in alphabetical order. Raises RestError PGRST204."""
    found = []
    for name in sorted(names):
        column = table.columns.get(name)
        if column is None and too_long(name):
            raise too_long_name()
        if column is None:
            raise RestError(
                400,
                "PGRST204",
                f"Could not find the '{name}' column of '{table.name.name}' in the schema cache",
            )
        found.append(column)
    return found


def insert(
    write: Write,
    parameters: Parameters,
    *,
    conflict_keys: Sequence[str] = (),
    merges: bool = False,
    conditions: Sequence[Condition] = (),
) -> Node:
    """INSERT … SELECT from the body. With `merges` a counter tells inserted rows from merged ones.

    `conditions` are a PUT's: the body must agree with the URL.
    """
    names = [column.name for column in write.columns]
    writer = ReadWriter(parameters)
    body_level = Level(write.table.name, BODY, write.table.columns)
    where = [counted(up=True)] if merges else []
    where += [writer.condition(body_level, condition) for condition in conditions]
    source = selects.select(_body_fields(write), body_rows(write, parameters), where=where)
    conflict = None
    if conflict_keys:
        updated = names if merges else []
        conflict = selects.on_conflict(conflict_keys, updated, counted(up=False))
    return selects.insert(write.table.name, names, source, write.returning, conflict)


def update(write: Write, parameters: Parameters, level: Level, conditions: Sequence[Condition]) -> Node:
    """UPDATE with the body's first object; nothing is updated when it names no columns."""
    if not write.columns:
        return selects.select(write.returning, selects.table(write.table.name), where=[nodes.false()])
    fields = _body_fields(write)
    names = [column.name for column in write.columns]
    body = selects.select(
        [nodes.alias(field, name) for field, name in zip(fields, names, strict=True)],
        body_rows(write, parameters),
        limit=nodes.number(1),
    )
    writer = ReadWriter(parameters)
    where = [writer.condition(level, condition) for condition in conditions]
    assignments = [(name, nodes.column(BODY, name)) for name in names]
    return selects.update(write.table.name, assignments, selects.subquery(body, BODY), where, write.returning)


def delete(write: Write, parameters: Parameters, level: Level, conditions: Sequence[Condition]) -> Node:
    writer = ReadWriter(parameters)
    where = [writer.condition(level, condition) for condition in conditions]
    return selects.delete(write.table.name, where, write.returning)


def _body_fields(write: Write) -> list[Node]:
    fields = []
    for column in write.columns:
        field = nodes.column(BODY, column.name)
        parser = write.parsers.get(column.name)
        fields.append(field if parser is None else nodes.call(parser, field))
    return fields


def body_rows(write: Write, parameters: Parameters) -> Node:
    """The body as rows named `pgrst_body`."""
    definitions = [(c.name, JSON if c.name in write.parsers else c.type) for c in write.columns]
    given = [column for column in write.columns if column.default is not None]
    if write.defaults and given:
        return _rows_with_defaults(write, parameters, definitions, given)
    return record_rows(parameters, definitions, is_object=write.is_object)


def record_rows(parameters: Parameters, definitions: Sequence[tuple[str, TypeName]], *, is_object: bool) -> Node:
    """A JSON body as rows of `definitions`; without any, as many empty rows as it has objects."""
    text = parameters.text(Slot("body"))
    if definitions:
        function = "json_to_record" if is_object else "json_to_recordset"
        return selects.record_table(nodes.call(function, nodes.cast(text, JSON)), BODY, definitions)
    if is_object:
        return selects.subquery(selects.select([nodes.alias(text, "json_data")]), BODY)
    return selects.function_table(nodes.call("json_array_elements", nodes.cast(text, JSON)), BODY)


def _rows_with_defaults(
    write: Write, parameters: Parameters, definitions: Sequence[tuple[str, TypeName]], given: Sequence[Column]
) -> Node:
    """Each object of the body over the columns' defaults."""
    body = nodes.cast(parameters.text(Slot("body")), JSONB)
    if write.is_object:
        body = nodes.call("jsonb_build_array", body)
    pairs = [node for c in given for node in (nodes.literal(c.name), nodes.catalog_expression(c.default or "null"))]
    laid_over = nodes.concatenated(nodes.call("jsonb_build_object", *pairs), nodes.column(ELEMENT, "value"))
    record = selects.record_table(nodes.call("jsonb_to_record", laid_over), BODY, definitions)
    elements = selects.function_table(nodes.call("jsonb_array_elements", body), ELEMENT)
    names = [nodes.alias(nodes.column(BODY, name), name) for name, _ in definitions]
    query = selects.select(names, elements, joins=[selects.join(record, "cross")])
    return selects.subquery(query, BODY)


def counted(*, up: bool) -> Node:
    """Counts in pgrst.inserted while rows are written: always true."""
    number = nodes.add(nodes.coalesce(nodes.cast(setting("pgrst.inserted"), INTEGER), nodes.number(0)), 1 if up else -1)
    changed = nodes.call("set_config", nodes.literal("pgrst.inserted"), nodes.as_text(number), nodes.true())
    return nodes.is_null(changed, negated=True)


def returned(level: Level, target: Level, primary_key: Sequence[str]) -> list[Node]:
    """RETURNING: columns for the answer, its order and its embeds, and the primary key.

    `level` is the answer's root, over the written rows; `target` the written table itself.
    """
    names = [reference.name for reference in _references(level)]
    if "*" in names or any(embed.relationship.function for embed in level.embeds):
        fields = [nodes.column(target.qualifier, "*")]
    else:
        joined = [name for embed in level.embeds for name in _joined_by(embed)]
        needed = dict.fromkeys([*names, *primary_key, *joined])
        fields = [nodes.column(target.qualifier, name) for name in needed if name in (target.columns or {})]
    return [*fields, *computed_fields(level, target.qualifier)] or [nodes.number(1)]


def computed_fields(level: Level, row: str) -> list[Node]:
    """The computed fields of `level`, of the row that the statement calls `row`."""
    functions = {r.name: r.column.function for r in _references(level) if r.column is not None and r.column.function}
    return [nodes.alias(nodes.call(function, nodes.row(row)), name) for name, function in functions.items()]


def _references(level: Level) -> list[Reference]:
    references = [output.reference for output in level.outputs]
    references += [order.reference for order in level.orders if order.qualifier is None]
    tests = list(level.conditions)
    while tests:
        condition = tests.pop()
        if isinstance(condition, Tree):
            tests += condition.parts
        elif isinstance(condition, Test):
            references.append(condition.reference)
    return references


def _joined_by(embed: Embed) -> list[str]:
    if embed.relationship.junction:
        return [end for end, _ in embed.relationship.junction.near]
    return [own for own, _ in embed.relationship.columns]


def location(primary_key: Sequence[str]) -> Node:
    """`{key=eq.value,…}` of the one written row, for the Location header."""
    row = selects.select(
        [nodes.alias(nodes.call("row_to_json", nodes.row("pgrst_row")), "r")],
        selects.table(SOURCE, "pgrst_row"),
        limit=nodes.number(1),
    )
    value = nodes.coalesce(
        nodes.concatenated(nodes.literal("eq."), nodes.column("pgrst_pair", "value")), nodes.literal("is.null")
    )
    pair = nodes.concatenated(nodes.column("pgrst_pair", "key"), nodes.literal("="), value)
    pairs = selects.lateral_table(nodes.call("json_each_text", nodes.column("pgrst_data", "r")), "pgrst_pair")
    is_key = [nodes.equal(nodes.column("pgrst_pair", "key"), nodes.literal(name)) for name in primary_key]
    query = selects.select(
        [nodes.call("array_agg", pair)],
        selects.subquery(row, "pgrst_data"),
        joins=[selects.join(pairs, "cross")],
        where=[nodes.joined("or", is_key)],
    )
    return nodes.case(nodes.equal(page_total(), nodes.number(1)), nodes.scalar(query), nodes.null())
