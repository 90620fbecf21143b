"""Made-up travellers with a row in every table of personal data (person.sql), and how their data looks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

SCRIPT = (Path(__file__).parent / "person.sql").read_text()
SECRET = "a key of tests that is long enough to be one"
TABLES = (
    "select table_schema || '.' || table_name as name, privacy.subject_predicate(table_schema, table_name) as mine"
    " from privacy.mapped_tables where erasure <> 'none' order by 1"
)


@dataclass(frozen=True)
class Person:
    user_id: str
    word: str


async def make_person(admin: asyncpg.Connection) -> Person:
    person = Person(str(uuid4()), f"uwimana{uuid4().int % 1_000_000:06}")
    async with admin.transaction():
        await admin.execute("select set_config('test.person', $1, true)", person.user_id)
        await admin.execute("select set_config('test.word', $1, true)", person.word)
        await admin.execute(SCRIPT)
        await admin.execute("drop function pg_temp.person(), pg_temp.word()")
    return person


def mine(table: asyncpg.Record, person: Person) -> str:
    return str(table["mine"]).replace("$1", f"'{person.user_id}'::uuid")


def quoted(table: str) -> str:
    """A schema and a table as SQL reads them, reserved words included."""
    schema, name = table.split(".")
    return f'"{schema}"."{name}"'


async def rows_of(admin: asyncpg.Connection, person: Person) -> dict[str, list[str]]:
    """Every row that the map leads to the person, by table."""
    return {
        table["name"]: [
            row["text"]
            for row in await admin.fetch(
                f"select target::text as text from {quoted(table['name'])} target"
                f" where {mine(table, person)} order by 1"
            )
        ]
        for table in await admin.fetch(TABLES)
    }


async def approved(admin: asyncpg.Connection, person: Person, kind: str = "erasure") -> str:
    body = await admin.fetchval("select create_privacy_request($1, $2)", kind, UUID(person.user_id))
    target = str(json.loads(body)["request_id"])
    await admin.execute("select review_privacy_request($1, 'approve')", target)
    return target


async def everything(admin: asyncpg.Connection) -> dict[str, list[str]]:
    """The whole database as text."""
    tables = await admin.fetch(
        "select oid::regclass::text as name from pg_class where relkind = 'r' and relowner = 'ecotrips_owner'::regrole"
    )
    return {
        table["name"]: [
            row["text"] for row in await admin.fetch(f"select t::text as text from {table['name']} t order by 1")
        ]
        for table in tables
    }
