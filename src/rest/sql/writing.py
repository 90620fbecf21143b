"""Writes INSERT, UPDATE and DELETE, whose returned rows become the source of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from src.edge.limits import too_long
from src.rest.catalog.catalog import JSON, JSONB, Column, Name, Table, TypeName
from src.rest.errors import RestError, too_long_name
from src.rest.sql import sql, sql_query
from src.rest.sql.planner import SOURCE
from src.rest.sql.reading import ReadWriter
from src.rest.sql.resolved import Condition, Embed, Level, Reference, Test, Tree
from src.rest.sql.sql import Node, Parameters, Slot
from src.rest.sql.statements import page_total, setting

BODY = "pgrst_body"
ELEMENT = "pgrst_element"
INTEGER = TypeName("pg_catalog", "int4")


@dataclass(frozen=True, slots=True)
class Write:
    """What all writes share. `parsers` read the JSON of columns whose domain has its own form."""

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
    source = sql_query.select(_body_fields(write), body_rows(write, parameters), where=where)
    conflict = None
    if conflict_keys:
        updated = names if merges else []
        conflict = sql_query.on_conflict(conflict_keys, updated, counted(up=False))
    return sql_query.insert(write.table.name, names, source, write.returning, conflict)


def update(write: Write, parameters: Parameters, level: Level, conditions: Sequence[Condition]) -> Node:
    """UPDATE with the body's first object; nothing is updated when it names no columns."""
    if not write.columns:
        return sql_query.select(write.returning, sql_query.table(write.table.name), where=[sql.false()])
    fields = _body_fields(write)
    names = [column.name for column in write.columns]
    body = sql_query.select(
        [sql.alias(field, name) for field, name in zip(fields, names, strict=True)],
        body_rows(write, parameters),
        limit=sql.number(1),
    )
    writer = ReadWriter(parameters)
    where = [writer.condition(level, condition) for condition in conditions]
    assignments = [(name, sql.column(BODY, name)) for name in names]
    return sql_query.update(write.table.name, assignments, sql_query.subquery(body, BODY), where, write.returning)


def delete(write: Write, parameters: Parameters, level: Level, conditions: Sequence[Condition]) -> Node:
    writer = ReadWriter(parameters)
    where = [writer.condition(level, condition) for condition in conditions]
    return sql_query.delete(write.table.name, where, write.returning)


def _body_fields(write: Write) -> list[Node]:
    fields = []
    for column in write.columns:
        field = sql.column(BODY, column.name)
        parser = write.parsers.get(column.name)
        fields.append(field if parser is None else sql.call(parser, field))
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
        return sql_query.record_table(sql.call(function, sql.cast(text, JSON)), BODY, definitions)
    if is_object:
        return sql_query.subquery(sql_query.select([sql.alias(text, "json_data")]), BODY)
    return sql_query.function_table(sql.call("json_array_elements", sql.cast(text, JSON)), BODY)


def _rows_with_defaults(
    write: Write, parameters: Parameters, definitions: Sequence[tuple[str, TypeName]], given: Sequence[Column]
) -> Node:
    """Each object of the body laid over the columns' defaults."""
    body = sql.cast(parameters.text(Slot("body")), JSONB)
    if write.is_object:
        body = sql.call("jsonb_build_array", body)
    pairs = [node for c in given for node in (sql.literal(c.name), sql.catalog_expression(c.default or "null"))]
    laid_over = sql.concatenated(sql.call("jsonb_build_object", *pairs), sql.column(ELEMENT, "value"))
    record = sql_query.record_table(sql.call("jsonb_to_record", laid_over), BODY, definitions)
    elements = sql_query.function_table(sql.call("jsonb_array_elements", body), ELEMENT)
    names = [sql.alias(sql.column(BODY, name), name) for name, _ in definitions]
    query = sql_query.select(names, elements, joins=[sql_query.join(record, "cross")])
    return sql_query.subquery(query, BODY)


def counted(*, up: bool) -> Node:
    """Counts in pgrst.inserted while rows are written: always true."""
    number = sql.add(sql.coalesce(sql.cast(setting("pgrst.inserted"), INTEGER), sql.number(0)), 1 if up else -1)
    changed = sql.call("set_config", sql.literal("pgrst.inserted"), sql.as_text(number), sql.true())
    return sql.is_null(changed, negated=True)


def returned(level: Level, target: Level, primary_key: Sequence[str]) -> list[Node]:
    """RETURNING: what the answer selects and is ordered by, what its embeds join by, and the primary key.

    `level` is the answer's root, over the written rows; `target` the written table itself.
    """
    names = [reference.name for reference in _references(level)]
    if "*" in names or any(embed.relationship.function for embed in level.embeds):
        fields = [sql.column(target.qualifier, "*")]
    else:
        joined = [name for embed in level.embeds for name in _joined_by(embed)]
        needed = dict.fromkeys([*names, *primary_key, *joined])
        fields = [sql.column(target.qualifier, name) for name in needed if name in (target.columns or {})]
    return [*fields, *computed_fields(level, target.qualifier)] or [sql.number(1)]


def computed_fields(level: Level, row: str) -> list[Node]:
    """The computed fields that `level` names, of the row that a statement calls `row`."""
    functions = {r.name: r.column.function for r in _references(level) if r.column is not None and r.column.function}
    return [sql.alias(sql.call(function, sql.row(row)), name) for name, function in functions.items()]


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
    row = sql_query.select(
        [sql.alias(sql.call("row_to_json", sql.row("pgrst_row")), "r")],
        sql_query.table(SOURCE, "pgrst_row"),
        limit=sql.number(1),
    )
    value = sql.coalesce(
        sql.concatenated(sql.literal("eq."), sql.column("pgrst_pair", "value")), sql.literal("is.null")
    )
    pair = sql.concatenated(sql.column("pgrst_pair", "key"), sql.literal("="), value)
    pairs = sql_query.lateral_table(sql.call("json_each_text", sql.column("pgrst_data", "r")), "pgrst_pair")
    is_key = [sql.equal(sql.column("pgrst_pair", "key"), sql.literal(name)) for name in primary_key]
    query = sql_query.select(
        [sql.call("array_agg", pair)],
        sql_query.subquery(row, "pgrst_data"),
        joins=[sql_query.join(pairs, "cross")],
        where=[sql.joined("or", is_key)],
    )
    return sql.case(sql.equal(page_total(), sql.number(1)), sql.scalar(query), sql.null())
