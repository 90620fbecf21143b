"""The one statement of a request: it gathers the rows and makes the whole answer (PostgREST's "main query")."""

from __future__ import annotations

from dataclasses import dataclass

from src.rest.catalog.catalog import JSON, Name, Returns, TypeName
from src.rest.protocol.media import Kind
from src.rest.protocol.request_settings import OF_REQUEST
from src.rest.query.plan import JsonStep
from src.rest.sql import sql, sql_query
from src.rest.sql.planner import SOURCE
from src.rest.sql.reading import ReadWriter
from src.rest.sql.resolved import Level
from src.rest.sql.sql import Node, Parameters, Query, Slot

ROWS = "_postgrest_t"
SCALAR = "pgrst_scalar"
INT8 = TypeName("pg_catalog", "int8")


@dataclass(frozen=True, slots=True)
class Handler:
    """How the body is made. `function` is a custom aggregate over `target` rows, None for anything of a row."""

    kind: Kind | None
    function: Name | None = None
    target: Name | None = None


def answer(
    source: Query | Node,
    rows: Query,
    handler: Handler,
    *,
    total: Node | None = None,
    counted: Query | None = None,
    location: Node | None = None,
    inserted: bool = False,
    returns: Returns | None = None,
) -> Query:
    """The statement over `source`, whose answer is made of `rows` (a SELECT over it).

    Columns: total, page_total, body, headers, status, location, inserted.
    """
    if counted is not None:
        total = _count_of("pgrst_source_count")
    elif total is None:
        total = sql.cast(sql.null(), INT8)
    fields = {
        "total": total,
        "page_total": page_total(returns),
        "body": body(handler, returns),
        "headers": setting("response.headers"),
        "status": setting("response.status"),
        "location": location or sql.null(),
        "inserted": setting("pgrst.inserted") if inserted else sql.null(),
    }
    tables: list[tuple[str, Node]] = [(SOURCE, source)]
    if counted is not None:
        tables.append(("pgrst_source_count", counted))
    query = sql_query.select([sql.alias(node, name) for name, node in fields.items()], sql_query.subquery(rows, ROWS))
    return sql_query.with_tables(query, tables)


def _count_of(name: str) -> Node:
    return sql.scalar(sql_query.select([sql.call("count", sql.star())], sql_query.table(name)))


def page_total(returns: Returns | None = None) -> Node:
    if returns is not None and returns.single:
        return sql.cast(sql.number(1), INT8)
    return sql.call("count", sql.row(ROWS))


def setting(name: str) -> Node:
    return sql.call("nullif", sql.call("current_setting", sql.literal(name), sql.true()), sql.literal(""))


def body(handler: Handler, returns: Returns | None) -> Node:
    """The finished body as text, or as the type a custom handler makes."""
    row = sql.column(ROWS, SCALAR) if returns is not None and returns.scalar else sql.row(ROWS)
    if handler.kind is None and handler.function is None:
        return sql.literal("")
    if handler.function is not None:
        target = row
        if handler.target is not None and not (returns is not None and returns.scalar):
            target = sql.cast_to_row(row, handler.target)
        return sql.call(handler.function, target)
    if handler.kind is Kind.OTHER:
        return row
    if handler.kind is Kind.CSV:
        return _csv()
    if handler.kind is Kind.GEOJSON:
        return _geojson()
    stripped = handler.kind in (Kind.ARRAY_STRIPPED, Kind.SINGULAR_STRIPPED)
    rows = sql.call("json_agg", row)
    single = handler.kind in (Kind.SINGULAR, Kind.SINGULAR_STRIPPED)
    if single or (returns is not None and returns.single):
        rows = sql.json_path(rows, [JsonStep(0)])
        missing = "null"
    else:
        missing = "[]"
    if stripped:
        rows = sql.call("json_strip_nulls", rows)
    return sql.as_text(sql.coalesce(rows, sql.cast(sql.literal(missing), JSON)))


def _csv() -> Node:
    """A header of the first row's keys, then the rows in Postgres's own text form without its parentheses."""
    first = sql_query.select(
        [sql.alias(sql.call("row_to_json", sql.row("hh")), "r")], sql_query.table(SOURCE, "hh"), limit=sql.number(1)
    )
    keys = sql_query.select(
        [sql.alias(sql.call("json_object_keys", sql.bare("r")), "k")], sql_query.subquery(first, "s")
    )
    header = sql_query.select(
        [sql.coalesce(sql.call("string_agg", sql.column("a", "k"), sql.literal(",")), sql.literal(""))],
        sql_query.subquery(keys, "a"),
    )
    row = sql.as_text(sql.row(ROWS))
    length = sql.add(sql.call("length", row), -2)
    inside = sql.call("substr", row.copy(), sql.number(2), length)
    lines = sql.coalesce(sql.call("string_agg", inside, sql.literal("\n")), sql.literal(""))
    return sql.concatenated(sql.scalar(header), sql.literal("\n"), lines)


def _geojson() -> Node:
    """A FeatureCollection; needs PostGIS."""
    features = sql.call("json_agg", sql.cast(sql.call("st_asgeojson", sql.row(ROWS)), JSON))
    built = sql.call(
        "json_build_object",
        sql.literal("type"),
        sql.literal("FeatureCollection"),
        sql.literal("features"),
        sql.coalesce(features, sql.cast(sql.literal("[]"), JSON)),
    )
    return sql.as_text(built)


def read_statement(
    root: Level, handler: Handler, parameters: Parameters, *, counts: bool, largest: int | None, estimated: bool
) -> Query:
    """The statement that answers a GET on a relation."""
    writer = ReadWriter(parameters, largest)
    source = writer.query(root)
    windowed = largest is not None or root.window is not None
    counted = writer.total(root) if counts and windowed else None
    if counted is not None and estimated and largest is not None:
        counted.set("limit", sql_query.limit(sql.number(largest + 1)))
    rows = sql_query.select([sql.star()], sql_query.table(SOURCE))
    return answer(source, rows, handler, counted=counted, total=page_total() if counts else None)


def rows_as_json(query: Query, source: Query | Node | None = None, returns: Returns | None = None) -> Query:
    """Each row as one JSON text, for a stream. `source` is the call that `query` selects from, if it is of one."""
    row = sql.column(ROWS, SCALAR) if returns is not None and returns.scalar else sql.row(ROWS)
    rows = sql_query.select([sql.as_text(sql.call("to_json", row))], sql_query.subquery(query, ROWS))
    return rows if source is None else sql_query.with_tables(rows, [(SOURCE, source)])


def with_settings(
    statement: Query, parameters: Parameters, guard: Name | None, *, read_only: bool, of_request: bool
) -> Query:
    """The statement behind the caller's settings, in one: they are made before any of its rows is looked for.

    So is the call of `guard`, if there is one, after them.

    The settings are materialized, and the statement, which gathers rows and so cannot be merged into its parent,
    depends on their outcome through its condition.
    """
    settings = {
        "request.jwt.claims": parameters.text(Slot("claims")),
        "request.id": parameters.text(Slot("request_id")),
        "request.switches": parameters.text(Slot("switches")),
    }
    if of_request:
        settings |= {f"request.{name}": parameters.text(Slot(name)) for name in OF_REQUEST}
    if read_only:
        settings["transaction_read_only"] = sql.literal("on")
    fields = [
        sql.alias(sql.call("set_config", sql.literal(name), value, sql.true()), f"s{position}")
        for position, (name, value) in enumerate(settings.items())
    ]
    if guard is not None:
        fields.append(sql.alias(sql.call(guard), "guard"))
    sql_query.add_condition(statement, sql.is_null(sql.column("pgrst_settings", "s0"), negated=True))
    rows = sql_query.select(
        [sql.column("pgrst_answer", "*")],
        sql_query.table("pgrst_settings"),
        joins=[sql_query.join(sql_query.lateral(statement, "pgrst_answer"), "cross")],
    )
    return sql_query.with_tables(rows, [("pgrst_settings", sql_query.select(fields))], materialized=True)
