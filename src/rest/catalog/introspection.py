"""Reads the catalog of a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from src.rest.catalog import queries
from src.rest.catalog.model import (
    Cardinality,
    Catalog,
    Column,
    MediaHandler,
    Name,
    Relationship,
    Table,
    TypeName,
)
from src.rest.catalog.relationships import exposed, with_inverses, with_junctions, with_views
from src.rest.catalog.routines import ISOLATION, routines_of
from src.rest.catalog.views import TableKey, View, ViewKey, origins_of, view_keys

CAN_UPDATE, CAN_INSERT, CAN_DELETE = 4, 8, 16

# SQL's names of types whose catalog names differ.
SQL_NAMES = {
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "decimal": "numeric",
    "dec": "numeric",
    "real": "float4",
    "float": "float8",
    "double precision": "float8",
    "character varying": "varchar",
    "character": "bpchar",
    "char": "bpchar",
    "bit varying": "varbit",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time with time zone": "timetz",
    "time without time zone": "time",
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is served: `schemas`, and `extra` schemas that are only searched; `hoisted` settings of functions apply.

    Without `extensions` their objects are not served, because everybody gets rights on them at once. Tables with a
    policy named `guard` are guarded.
    """

    schemas: tuple[str, ...]
    extra: tuple[str, ...] = ()
    hoisted: tuple[str, ...] = ("statement_timeout", "plan_filter.statement_cost_limit", ISOLATION)
    extensions: bool = True
    guard: str = ""


async def read_catalog(connection: asyncpg.Connection[asyncpg.Record], exposure: Exposure) -> Catalog:
    """Read the catalog. The connection's role must have rights on the schemas."""
    schemas = list(exposure.schemas)
    searched = [*schemas, *(extra for extra in exposure.extra if extra not in schemas)]
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # Types on the login's search_path are shown without their schema, and a request's path would not find them.
        await connection.execute("set local search_path = ''")
        enums = {row["enumtypid"]: tuple(row["labels"]) for row in await connection.fetch(queries.ENUMS)}
        columns = _columns(await connection.fetch(queries.COLUMNS, schemas), enums)
        relations = await connection.fetch(queries.RELATIONS, schemas, exposure.extensions, exposure.guard)
        foreign_keys = await connection.fetch(queries.FOREIGN_KEYS)
        keys = _view_keys(await connection.fetch(queries.VIEWS, searched), await connection.fetch(queries.KEYS))
        seers = _seers(await connection.fetch(queries.ROW_SECURITY, schemas))
        tables = _tables(relations, columns, keys, seers)
        of_rows = await connection.fetch(queries.FUNCTIONS_OF_ROWS)
        routines = await connection.fetch(queries.ROUTINES, schemas, exposure.extensions)
        return Catalog(
            tables=tables,
            relationships=_relationships(foreign_keys, keys, tables, of_rows, schemas),
            routines=routines_of(routines, columns, exposure.hoisted),
            computed=_computed(of_rows, searched),
            representations={
                (TypeName(row["source_schema"], row["source"]), TypeName(row["target_schema"], row["target"])): Name(
                    row["function_schema"], row["proname"]
                )
                for row in await connection.fetch(queries.REPRESENTATIONS)
            },
            handlers=_handlers(await connection.fetch(queries.MEDIA_HANDLERS, schemas)),
            casts=_casts(await connection.fetch(queries.TYPES, searched)),
            descriptions={
                row["nspname"]: row["text"]
                for row in await connection.fetch(queries.DESCRIPTIONS, schemas)
                if row["text"]
            },
            role_settings=_role_settings(await connection.fetch(queries.ROLE_SETTINGS)),
        )


def _column(row: asyncpg.Record, name: str) -> Column:
    return Column(
        name,
        TypeName(row["type_schema"], row["type_name"]),
        TypeName(row["base_schema"], row["base_name"]),
        TypeName(row["array_schema"], row["array_name"]) if row["array_name"] else None,
        row["shown_type"],
    )


def _columns(rows: Sequence[asyncpg.Record], enums: Mapping[int, tuple[str, ...]]) -> dict[int, dict[str, Column]]:
    columns: dict[int, dict[str, Column]] = defaultdict(dict)
    for row in rows:
        columns[row["relation"]][row["attname"]] = replace(
            _column(row, row["attname"]),
            nullable=row["nullable"],
            default=row["expression"],
            description=row["description"],
            max_length=row["max_length"],
            enum=enums.get(row["base_oid"], ()),
        )
    return columns


def _view_keys(views: Sequence[asyncpg.Record], keys: Sequence[asyncpg.Record]) -> list[ViewKey]:
    parsed = [
        View(row["oid"], row["nspname"], row["relname"], row["names"], origins_of(row["definition"])) for row in views
    ]
    return list(
        view_keys(
            parsed, [TableKey(row["kind"], row["conname"], row["relation"], tuple(row["columns"])) for row in keys]
        )
    )


def _tables(
    rows: Sequence[asyncpg.Record],
    columns: Mapping[int, Mapping[str, Column]],
    keys: Iterable[ViewKey],
    seers: Mapping[int, frozenset[str]],
) -> dict[Name, Table]:
    of_views: dict[Name, tuple[str, ...]] = {}
    for key in keys:
        if key.kind == "p":
            of_views.setdefault(Name(key.view.schema, key.view.name), key.columns)
    tables = {}
    for row in rows:
        name = Name(row["nspname"], row["relname"])
        tables[name] = Table(
            name=name,
            columns=columns.get(row["oid"], {}),
            primary_key=of_views.get(name, ()) if row["is_view"] else tuple(row["primary_key"] or ()),
            is_view=row["is_view"],
            insertable=bool(row["events"] & CAN_INSERT),
            updatable=bool(row["events"] & CAN_UPDATE),
            deletable=bool(row["events"] & CAN_DELETE),
            description=row["description"],
            seers=seers.get(row["oid"]),
            guarded=row["guarded"],
        )
    return tables


def _seers(rows: Sequence[asyncpg.Record]) -> dict[int, frozenset[str]]:
    seers: dict[int, frozenset[str]] = {}
    for row in rows:
        roles = frozenset(row["roles"])
        seers[row["relation"]] = seers.get(row["relation"], roles) & roles
    return seers


def _relationships(
    rows: Sequence[asyncpg.Record],
    keys: Iterable[ViewKey],
    tables: Mapping[Name, Table],
    of_rows: Sequence[asyncpg.Record],
    schemas: list[str],
) -> Mapping[tuple[Name, str], tuple[Relationship, ...]]:
    oids: dict[tuple[str, str, Name], int] = {}
    found = []
    for row in rows:
        table = Name(row["nspname"], row["relname"])
        oids["f", row["conname"], table] = row["relation"]
        oids["f_ref", row["conname"], table] = row["foreign_relation"]
        found.append(
            Relationship(
                table,
                Name(row["foreign_schema"], row["foreign_name"]),
                Cardinality.ONE_TO_ONE if row["one_to_one"] else Cardinality.MANY_TO_ONE,
                row["conname"],
                tuple(zip(row["own"], row["other"], strict=True)),
            )
        )
    computed = [
        Relationship(
            Name(row["table_schema"], row["table_name"]),
            Name(row["foreign_schema"], row["foreign_name"]),
            Cardinality.COMPUTED_ONE if row["single"] else Cardinality.COMPUTED_MANY,
            function=Name(row["nspname"], row["proname"]),
        )
        for row in of_rows
        if row["foreign_name"]
    ]
    detected = with_junctions(with_views(found, oids, keys), tables)
    return exposed(with_inverses(detected) + computed, schemas)


def _computed(rows: Sequence[asyncpg.Record], searched: list[str]) -> dict[Name, dict[str, Column]]:
    computed: dict[Name, dict[str, Column]] = defaultdict(dict)
    for row in rows:
        if row["nspname"] in searched and not row["proretset"]:
            table = Name(row["table_schema"], row["table_name"])
            column = replace(_column(row, row["proname"]), function=Name(row["nspname"], row["proname"]))
            computed[table].setdefault(column.name, column)
    return computed


def _handlers(rows: Sequence[asyncpg.Record]) -> dict[tuple[Name | None, str], MediaHandler]:
    handlers = {}
    for row in rows:
        target = None if row["target_name"] == "anyelement" else Name(row["target_schema"], row["target_name"])
        handlers[target, row["name"]] = MediaHandler(
            Name(row["function_schema"], row["function_name"]), row["answered"], row["by_function"]
        )
    return handlers


def _casts(rows: Sequence[asyncpg.Record]) -> dict[str, TypeName]:
    casts = {row["typname"]: TypeName(row["nspname"], row["typname"]) for row in rows}
    return casts | {name: TypeName("pg_catalog", internal) for name, internal in SQL_NAMES.items()}


def _role_settings(rows: Sequence[asyncpg.Record]) -> dict[str, tuple[tuple[str, str], ...]]:
    settings: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        settings[row["rolname"]].append((row["name"], row["value"]))
    return {role: tuple(pairs) for role, pairs in settings.items()}
