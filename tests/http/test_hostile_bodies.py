"""Bodies of a mebibyte and every hostile shape at every function: a documented answer, and nothing has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import NamedTuple

import asyncpg
import msgspec
import pytest
from msgspec import inspect

from tests.conftest import Api
from tests.support.endpoints import declared

MAX_SIZE = 2**20 - 4_096
"""Bytes that all values of a body share."""

TABLES = """
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^(pg_|information_schema)' order by 1
"""
PROCEDURES = """
select n.nspname || '.' || p.proname, coalesce(p.proargnames[1:p.pronargs], '{}') from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any ($1) and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  and has_function_privilege('web_service', p.oid, 'execute') order by 1
"""
RELATIONS = """
select n.nspname || '.' || c.relname, array_agg(a.attname::text order by a.attnum) from pg_class c
join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition and not a.attisdropped
group by 1 order by 1
"""
SCHEMAS = ["public", "fin", "ops", "booking", "payment", "core", "audit", "privacy", "inventory"]


def nested(levels: int, opening: str, closing: str) -> str:
    return opening * levels + closing * levels


# A value of about so many bytes. Those that nest too deep or hold too much come in full, whatever their share is.
SHAPES: dict[str, Callable[[int], str]] = {
    "490 deep": lambda _size: nested(490, "[", "]"),
    "3,000 deep": lambda _size: nested(3_000, '{"a":', "}").replace("}", "1}", 1),
    "as deep as may be": lambda _size: nested(62, "[", "]"),
    "many values": lambda size: "[" + ",".join(["0"] * (size // 2)) + "]",
    "many lists": lambda size: "[" + ",".join(["[]"] * (size // 3)) + "]",
    "many keys": lambda size: "{" + ",".join(f'"k{number}":0' for number in range(size // 10)) + "}",
    "a key repeated": lambda size: "{" + ",".join(['"k":0'] * (size // 6)) + "}",
    "a long text": lambda size: '"' + "x" * size + '"',
    "many escapes": lambda size: '"' + "\\u00e9" * (size // 6) + '"',
    "a long number": lambda size: "9" * min(size, 100_000),
    "left open": lambda size: "[" * size,
    "quotes": lambda size: '"' + '\\"' * (size // 2) + '"',
}


class Target(NamedTuple):
    path: str
    fields: list[str]
    answers: frozenset[int] | set[int] = frozenset({200, 204})


def fields_of(kind: type[msgspec.Struct] | None) -> list[str]:
    described = inspect.type_info(kind) if kind is not None else None
    return [field.encode_name for field in described.fields] if isinstance(described, inspect.StructType) else []


def bodies(target: Target, shapes: list[str]) -> Iterator[tuple[str, bytes]]:
    """All fields of one shape at once."""
    for shape in shapes:
        names = target.fields or ["unknown"]
        value = SHAPES[shape](MAX_SIZE // len(names) - 64)
        yield shape, ("{" + ",".join(f"{json.dumps(name)}:{value}" for name in names) + "}").encode()


async def contents(admin: asyncpg.Connection) -> dict[str, str]:
    tables = [row[0] for row in await admin.fetch(TABLES)]
    return {
        table: await admin.fetchval(f"select md5(string_agg(t::text, ' ' order by t::text)) from {table} t")
        for table in tables
    }


ANSWERS = {400, 401, 403, 404, 405, 409, 413}


async def send_all(api: Api, targets: list[Target], method: str = "POST", kind: str = "application/json") -> list[str]:
    """Each shape once to each target, by a caller of each role in turn; what is not as it should be."""
    callers = {"anon": api.anonymous, "traveller": api.user(), "ops": api.ops, "service": api.service}
    faults = []
    for number, target in enumerate(targets):
        shapes = bodies(target, list(SHAPES)) if kind == "application/json" else queries(target)
        for step, (shape, body) in enumerate(shapes):
            who, headers = list(callers.items())[(number + step) % len(callers)]
            headers = {"content-type": kind, **headers}
            answer = await api.http.request(method, target.path, content=body, headers=headers)
            if answer.status_code not in ANSWERS | target.answers or len(answer.content) > 64_000:
                faults.append(f"{who} {target.path} {shape}: {answer.status_code} {answer.text[:200]}")
    return faults


def queries(target: Target) -> Iterator[tuple[str, bytes]]:
    """A QUERY body of conditions, by what is long about it."""
    for column in target.fields[:1]:
        for shape, text in {
            "a name": f"{'n' * MAX_SIZE}=eq.1",
            "a value": f"{column}=eq.{'v' * MAX_SIZE}",
            "conditions": "&".join([f"{column}=is.null"] * (MAX_SIZE // len(f"{column}=is.null&"))),
            "logic": f"or=({','.join([f'{column}.is.null'] * (MAX_SIZE // len(f'{column}.is.null,')))})",
            "nesting": "or=" + "(and" * (MAX_SIZE // 4),
            "a list": f"{column}=in.({','.join(['1'] * (MAX_SIZE // 2))})",
            "quotes": f"{column}=in.(" + '"' * MAX_SIZE,
            "fields": "select=" + ",".join([column] * (MAX_SIZE // (len(column) + 1))),
            "a path": "select=" + column + "->a" * (MAX_SIZE // 3),
            "embeds": "select=" + "a(" * (MAX_SIZE // 2),
            "orders": "order=" + ",".join([f"{column}.desc"] * (MAX_SIZE // (len(column) + 6))),
            "a pattern": f"{column}=match." + "(a+)+" * (MAX_SIZE // 5),
        }.items():
            yield shape, text.encode()


@pytest.mark.parametrize("part", range(2))
async def test_functions(api: Api, admin: asyncpg.Connection, part: int) -> None:
    # What takes nothing does what it does, whatever is sent to it.
    targets = [
        Target(f"/functions/v1/{endpoint.name}", fields_of(endpoint.input), {*endpoint.statuses, *endpoint.errors})
        for endpoint in declared()
        if endpoint.method == "POST" and fields_of(endpoint.input)
    ]
    await judge(admin, send_all(api, list(islice(targets, part, None, 2))))


@pytest.mark.parametrize("part", range(4))
async def test_procedures(api: Api, admin: asyncpg.Connection, part: int) -> None:
    targets = [Target(f"/rest/v1/rpc/{name}", names) for name, names in await admin.fetch(PROCEDURES, SCHEMAS)]
    assert len(targets) > 50
    await judge(admin, send_all(api, list(islice(targets, part, None, 4))))


@pytest.mark.parametrize("method", ["POST", "PATCH", "QUERY"])
async def test_relations(api: Api, admin: asyncpg.Connection, method: str) -> None:
    kind = "application/x-www-form-urlencoded" if method == "QUERY" else "application/json"
    targets = [Target(f"/rest/v1/{name}", names) for name, names in await admin.fetch(RELATIONS, SCHEMAS)]
    assert len(targets) > 40
    await judge(admin, send_all(api, targets, method, kind))


async def judge(admin: asyncpg.Connection, sending: Coroutine[None, None, list[str]]) -> None:
    before = await contents(admin)
    assert await sending == []
    after = await contents(admin)
    assert {table for table in before if after[table] != before[table]} == set()
