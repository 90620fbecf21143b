"""A database that was of an earlier release is, after `db apply`, the same as a new one."""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from src.database import apply
from src.logins import role_password
from tests.support import postgres
from tests.support.processes import ROOT
from tests.support.schema import described, rows

RELEASES = sorted(Path(__file__).with_name("releases").glob("*.tar.xz"))


def version(archive: Path) -> str:
    return archive.name.removesuffix(".tar.xz")


@dataclass(frozen=True)
class Seen:
    """A database's objects, the rows of its tables, how many payments it has, and what is wrong with its ledger."""

    objects: dict[str, str]
    held: dict[str, set[str]]
    payments: int
    faults: list[asyncpg.Record]


async def seen(dsn: str) -> Seen:
    """The database, once it has the SQL that is shipped now."""
    given = postgres.settings(dsn)
    await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))
    connection = await asyncpg.connect(dsn)
    found = Seen(
        await described(connection),
        await rows(connection),
        await connection.fetchval("select count(*) from payment.payments"),
        await connection.fetch("select * from fin.verify_ledger()"),
    )
    await connection.close()
    return found


async def make(dsn: str, folder: Path) -> None:
    """The database as a release left it, with rows in its tables."""
    connection = await asyncpg.connect(dsn)
    await connection.execute((folder / "roles.sql").read_text())
    for place, file in enumerate(apply.shipped(folder)):
        async with connection.transaction():
            await connection.execute("set local check_function_bodies = off")
            if file.name != apply.SCHEMAS_FILE:
                await connection.execute("set local role ecotrips_owner")
            await connection.execute(file.text)
            await connection.execute("reset role")
            remember = "insert into meta.applied (file, digest, ordinal) values ($1, $2, $3)"
            await connection.execute(remember, file.name, file.digest, place)
    await connection.execute("select meta.seed_volume(1, 40)")
    await connection.close()


@pytest.mark.parametrize("archive", RELEASES, ids=version)
async def test_an_upgraded_database_is_the_same_as_a_new_one(
    archive: Path, tmp_path: Path, server: postgres.Server
) -> None:
    """Roles belong to the server, so the earlier release has one of its own."""
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    with postgres.disposable(os.environ.get("ECOTRIPS_TEST_POSTGRES", "auto")) as earlier:
        dsn = await earlier.create()
        await make(dsn, tmp_path)
        upgraded = await seen(dsn)
        await earlier.drop(dsn)
    dsn = await server.create()
    new = await seen(dsn)
    await server.drop(dsn)
    # Other tests make roles on the server of the new one.
    compared = {name for name in {*upgraded.objects, *new.objects} if name in upgraded.objects or name[:5] != "role "}
    pairs = {name: (upgraded.objects.get(name), new.objects.get(name)) for name in compared}
    assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == {}
    assert {table: upgraded.held.get(table) for table in new.held} == new.held
    assert (upgraded.payments, upgraded.faults) == (40, [])


CHANGES = {
    "schema permits": "comment on schema permits is 'x'",
    "relation permits.requests": "alter table permits.requests no force row level security",
    "column permits.requests.park": "alter table permits.requests alter park set default 'Akagera'",
    "column payment.payments.currency": "grant select (currency) on payment.payments to anon",
    "constraint payment.payments x": "alter table payment.payments add constraint x check (amount_cents > 0) not valid",
    "index permits.x": "create index x on permits.requests (park desc)",
    "sequence permits.number": "create sequence permits.number",
    "view fin.ledger": "alter view fin.ledger rename column seq to place",
    "function sec.is_ops()": "alter function sec.is_ops() volatile",
    "function seal_ledger()": "grant execute on function seal_ledger() to anon",
    "right on a function of the server pg_export_snapshot()": "grant execute on function pg_export_snapshot() to anon",
    "trigger permits.requests x": "create trigger x after delete on permits.requests"
    " execute function audit.refuse_change()",
    "policy permits.requests x": "create policy x on permits.requests to anon using (true)",
    "type permits.kind": "create domain permits.kind as int check (value > 0)",
    "statistics permits.both": "create statistics permits.both on park, status from permits.requests",
    "the database": "grant temporary on database {database} to anon",
    "role web_anon": "alter role web_anon set statement_timeout = '9s'",
    "default rights ecotrips_owner permits r": "alter default privileges for role ecotrips_owner in schema permits"
    " grant select on tables to anon",
    "of text search or an operator text search configuration permits.words": "create text search configuration"
    " permits.words (copy = simple)",
}


async def test_no_kind_of_difference_is_overlooked(admin: asyncpg.Connection) -> None:
    before = await described(admin)
    transaction = admin.transaction()
    await transaction.start()
    for change in CHANGES.values():
        await admin.execute(change.format(database=await admin.fetchval("select quote_ident(current_database())")))
    after = await described(admin)
    await transaction.rollback()
    overlooked = [name for name in CHANGES if before.get(name) == after.get(name)]
    assert overlooked == []


def test_the_sql_of_every_release_is_kept() -> None:
    """In a folder of the tests, as a checkout need not have the history."""
    headings = re.findall(r"^## (\d+\.\d+\.\d+)(.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [version(archive) for archive in RELEASES] == sorted(name for name, more in headings if not more)
