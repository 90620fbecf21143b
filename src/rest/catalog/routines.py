"""Functions: parameters, the shape of their results, their settings."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import asyncpg

from src.rest.catalog.model import Column, Name, Parameter, Returns, Routine, TypeName

ISOLATION = "default_transaction_isolation"
# A single unnamed parameter of these types takes the whole body.
BODY_TYPES = frozenset({"bytea", "json", "jsonb", "text", "xml"})
Arguments = list[dict[str, str]]


def routines_of(
    rows: Sequence[asyncpg.Record], columns: Mapping[int, Mapping[str, Column]], hoisted: Sequence[str]
) -> dict[Name, tuple[Routine, ...]]:
    """Functions by name; overloads are ordered by their number of parameters."""
    found: dict[Name, list[Routine]] = defaultdict(list)
    for row in rows:
        arguments: Arguments = json.loads(row["parameters"] or "[]")
        parameters = _parameters([a for a in arguments if a["mode"] in "ibv"], row["required"])
        if not _callable(parameters):
            continue
        name = Name(row["nspname"], row["proname"])
        out = [a for a in arguments if a["mode"] in "otb"]
        settings = [setting.partition("=")[::2] for setting in row["proconfig"] or ()]
        found[name].append(
            Routine(
                name=name,
                parameters=parameters,
                returns=_returns(row, composite=bool(out) or row["base_kind"] == "c"),
                table=Name(row["base_schema"], row["base_name"]),
                columns=columns.get(row["typrelid"]) if row["typrelid"] else _out_columns(out),
                volatility=row["volatility"],
                description=row["description"],
                isolation=next((value.strip("'") for key, value in settings if key == ISOLATION), None),
                settings=tuple((key, value) for key, value in settings if key in hoisted and key != ISOLATION),
                oid=row["oid"],
            )
        )
    return {name: tuple(overloads) for name, overloads in found.items()}


def _parameters(arguments: Arguments, required: int) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            argument["name"],
            TypeName(argument["type_schema"], argument["type_name"]),
            argument["shown"],
            position <= required,
            argument["mode"] == "v",
        )
        for position, argument in enumerate(arguments, 1)
    )


def _callable(parameters: tuple[Parameter, ...]) -> bool:
    """Whether all parameters have names, or the only one takes the body."""
    unnamed = [parameter for parameter in parameters if not parameter.name]
    return not unnamed or (len(unnamed) == 1 and parameters[0].type.name in BODY_TYPES)


def _returns(row: asyncpg.Record, *, composite: bool) -> Returns:
    if composite:
        return Returns.SET_OF_COMPOSITE if row["proretset"] else Returns.COMPOSITE
    if row["proretset"]:
        return Returns.SET_OF_SCALAR
    return Returns.VOID if row["base_name"] == "void" else Returns.SCALAR


def _out_columns(out: Arguments) -> dict[str, Column] | None:
    if not out:
        return None
    columns = {}
    for position, argument in enumerate(out, 1):
        name = argument["name"] or f"column{position}"
        columns[name] = Column(
            name,
            TypeName(argument["type_schema"], argument["type_name"]),
            TypeName(argument["base_schema"] or "pg_catalog", argument["base_name"] or "text"),
            TypeName(argument["array_schema"], argument["array_name"]) if argument["array_name"] else None,
            argument["shown"],
        )
    return columns
