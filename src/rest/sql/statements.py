"""The single statement of a request, which gathers rows and makes the answer (PostgREST's "main query")."""

from __future__ import annotations

from dataclasses import dataclass

from src.rest.catalog.model import JSON, Name, Returns, TypeName
from src.rest.protocol.media import Media
from src.rest.protocol.request_settings import OF_REQUEST
from src.rest.query.plan import JsonStep
from src.rest.sql import nodes, selects
from src.rest.sql.nodes import Node, Parameters, Query, Slot
from src.rest.sql.planner import SOURCE
from src.rest.sql.reading import ReadWriter
from src.rest.sql.resolved import Level

ROWS = "_postgrest_t"
SCALAR = "pgrst_scalar"
INT8 = TypeName("pg_catalog", "int8")


@dataclass(frozen=True, slots=True)
class Handler:
    """Makes a body. `function` is a custom aggregate over `target` rows; None stands for rows of any kind."""

    kind: Media | None
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
        total = nodes.cast(nodes.null(), INT8)
    fields = {
        "total": total,
        "page_total": page_total(returns),
        "body": body(handler, returns),
        "headers": setting("response.headers"),
        "status": setting("response.status"),
        "location": location or nodes.null(),
        "inserted": setting("pgrst.inserted") if inserted else nodes.null(),
    }
    tables: list[tuple[str, Node]] = [(SOURCE, source)]
    if counted is not None:
        tables.append(("pgrst_source_count", counted))
    query = selects.select([nodes.alias(node, name) for name, node in fields.items()], selects.subquery(rows, ROWS))
    return selects.with_tables(query, tables)


def _count_of(name: str) -> Node:
    return nodes.scalar(selects.select([nodes.call("count", nodes.star())], selects.table(name)))


def page_total(returns: Returns | None = None) -> Node:
    if returns is not None and returns.single:
        return nodes.cast(nodes.number(1), INT8)
    return nodes.call("count", nodes.row(ROWS))


def setting(name: str) -> Node:
    return nodes.call("nullif", nodes.call("current_setting", nodes.literal(name), nodes.true()), nodes.literal(""))


def body(handler: Handler, returns: Returns | None) -> Node:
    """The finished body as text, or as the type a custom handler makes."""
    row = nodes.column(ROWS, SCALAR) if returns is not None and returns.scalar else nodes.row(ROWS)
    if handler.kind is None and handler.function is None:
        return nodes.literal("")
    if handler.function is not None:
        target = row
        if handler.target is not None and not (returns is not None and returns.scalar):
            target = nodes.cast_to_row(row, handler.target)
        return nodes.call(handler.function, target)
    if handler.kind is Media.OTHER:
        return row
    if handler.kind is Media.CSV:
        return _csv()
    if handler.kind is Media.GEOJSON:
        return _geojson()
    stripped = handler.kind in (Media.ARRAY_STRIPPED, Media.SINGULAR_STRIPPED)
    rows = nodes.call("json_agg", row)
    single = handler.kind in (Media.SINGULAR, Media.SINGULAR_STRIPPED)
    if single or (returns is not None and returns.single):
        rows = nodes.json_path(rows, [JsonStep(0)])
        missing = "null"
    else:
        missing = "[]"
    if stripped:
        rows = nodes.call("json_strip_nulls", rows)
    return nodes.as_text(nodes.coalesce(rows, nodes.cast(nodes.literal(missing), JSON)))


def _csv() -> Node:
    """A header of the first row's keys, then the rows in Postgres's own text form without its parentheses."""
    first = selects.select(
        [nodes.alias(nodes.call("row_to_json", nodes.row("hh")), "r")],
        selects.table(SOURCE, "hh"),
        limit=nodes.number(1),
    )
    keys = selects.select(
        [nodes.alias(nodes.call("json_object_keys", nodes.bare("r")), "k")], selects.subquery(first, "s")
    )
    header = selects.select(
        [nodes.coalesce(nodes.call("string_agg", nodes.column("a", "k"), nodes.literal(",")), nodes.literal(""))],
        selects.subquery(keys, "a"),
    )
    row = nodes.as_text(nodes.row(ROWS))
    length = nodes.add(nodes.call("length", row), -2)
    inside = nodes.call("substr", row.copy(), nodes.number(2), length)
    lines = nodes.coalesce(nodes.call("string_agg", inside, nodes.literal("\n")), nodes.literal(""))
    return nodes.concatenated(nodes.scalar(header), nodes.literal("\n"), lines)


def _geojson() -> Node:
    """A FeatureCollection; needs PostGIS."""
    features = nodes.call("json_agg", nodes.cast(nodes.call("st_asgeojson", nodes.row(ROWS)), JSON))
    built = nodes.call(
        "json_build_object",
        nodes.literal("type"),
        nodes.literal("FeatureCollection"),
        nodes.literal("features"),
        nodes.coalesce(features, nodes.cast(nodes.literal("[]"), JSON)),
    )
    return nodes.as_text(built)


def read_statement(
    root: Level, handler: Handler, parameters: Parameters, *, counts: bool, max_rows: int | None, estimated: bool
) -> Query:
    """The statement that answers a GET on a relation."""
    writer = ReadWriter(parameters, max_rows)
    source = writer.query(root)
    windowed = max_rows is not None or root.window is not None
    counted = writer.total(root) if counts and windowed else None
    if counted is not None and estimated and max_rows is not None:
        counted.set("limit", selects.limit(nodes.number(max_rows + 1)))
    rows = selects.select([nodes.star()], selects.table(SOURCE))
    return answer(source, rows, handler, counted=counted, total=page_total() if counts else None)


def rows_as_json(query: Query, source: Query | Node | None = None, returns: Returns | None = None) -> Query:
    """Each row as one JSON text, for a stream. `source` is the call that `query` selects from, if it is of one."""
    row = nodes.column(ROWS, SCALAR) if returns is not None and returns.scalar else nodes.row(ROWS)
    rows = selects.select([nodes.as_text(nodes.call("to_json", row))], selects.subquery(query, ROWS))
    return rows if source is None else selects.with_tables(rows, [(SOURCE, source)])


def with_settings(
    statement: Query, parameters: Parameters, guard: Name | None, *, read_only: bool, of_request: bool
) -> Query:
    """The statement with the caller's settings, and then a call of `guard`, in front of it.

    The settings are a materialized expression on which the statement's condition depends, so they are made first. The
    statement aggregates rows, so the planner does not merge the two.
    """
    settings = {
        "request.jwt.claims": parameters.text(Slot("claims")),
        "request.id": parameters.text(Slot("request_id")),
        "request.switches": parameters.text(Slot("switches")),
    }
    if of_request:
        settings |= {f"request.{name}": parameters.text(Slot(name)) for name in OF_REQUEST}
    if read_only:
        settings["transaction_read_only"] = nodes.literal("on")
    fields = [
        nodes.alias(nodes.call("set_config", nodes.literal(name), value, nodes.true()), f"s{position}")
        for position, (name, value) in enumerate(settings.items())
    ]
    if guard is not None:
        fields.append(nodes.alias(nodes.call(guard), "guard"))
    selects.add_condition(statement, nodes.is_null(nodes.column("pgrst_settings", "s0"), negated=True))
    rows = selects.select(
        [nodes.column("pgrst_answer", "*")],
        selects.table("pgrst_settings"),
        joins=[selects.join(selects.lateral(statement, "pgrst_answer"), "cross")],
    )
    return selects.with_tables(rows, [("pgrst_settings", selects.select(fields))], materialized=True)
