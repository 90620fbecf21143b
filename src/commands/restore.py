"""`ecotrips db restore FILE`: restores a backup into an empty database and proves that it is complete."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import asyncpg

from src.adapters.files.store import FileStore
from src.commands import archive, backup, local, operators, progress, stopping
from src.commands.archive import ArchivedTable, Statements
from src.commands.backup import BackupError, tell
from src.commands.wording import counted
from src.database import apply
from src.database.errors import BROKEN
from src.database.opened import Opened, connect
from src.domain.errors import DomainError
from src.domain.storage import StoredObject
from src.logins import role_password
from src.settings import DEFAULT_SCHEMAS, INTERNAL_SCHEMAS, LIVE_SWITCHES, Settings

# These belong to the target server, which has its own.
OF_THE_SERVER = ["--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces"]
SETTING = re.compile(r"^SET (\w+) = '?(\w*)'?;$", re.MULTILINE)
LARGE_OBJECTS = re.compile("BLOB|LARGE OBJECT")
OURS = "FOR ROLE ecotrips_owner "
AS_OWNER = "set local role ecotrips_owner"
PIECE = 1 << 18
# The archive ends with a comment.
SAYS_SOMETHING = re.compile(r"^\w", re.MULTILINE)
RESTRICTIVE = " AS RESTRICTIVE"
FORCED = "select oid::regclass::text from pg_class where relforcerowsecurity and relowner = 'ecotrips_owner'::regrole"
# After these errors nothing later can succeed.
OF_THE_SERVER_ITSELF = (
    *(asyncpg.PostgresConnectionError, asyncpg.InsufficientResourcesError),
    asyncpg.OperatorInterventionError,
)
WITH_RIGHTS = """
select 'with its caller''s rights', p.oid::regprocedure::text,
  format('alter routine %s security invoker', p.oid::regprocedure)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prosecdef and p.proowner = 'ecotrips_owner'::regrole and n.nspname <> all ($1)
union all
select 'with its caller''s rights', c.oid::regclass::text,
  format('alter view %s set (security_invoker = true)', c.oid::regclass)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and c.relowner = 'ecotrips_owner'::regrole and n.nspname <> all ($1)
union all
-- It holds what the owner sees, which may be more than who made it saw.
select 'for its owner alone', c.oid::regclass::text, format('revoke all on %s from %s', c.oid::regclass, others.names)
from pg_class c join pg_namespace n on n.oid = c.relnamespace, lateral (
  select string_agg(distinct case role_id when 0 then 'public' else role_id::regrole::text end, ', ') as names
  from (
    select a.grantee as role_id from aclexplode(c.relacl) a
    union all
    select a.grantee from pg_attribute t, aclexplode(t.attacl) a where t.attrelid = c.oid
  ) given where role_id <> c.relowner
) others
where c.relkind = 'm' and c.relowner = 'ecotrips_owner'::regrole and n.nspname <> all ($1) and others.names is not null
"""
DOCUMENTS = """
select 'invoices' as bucket, storage_path as path, sha256 from fin.invoices where sha256 is not null
union all
select 'privacy_exports', export_path, export_sha256 from privacy.requests where export_sha256 is not null
"""
SHOWN = 20
NUMBERED = "select storage_path from fin.invoices"


class UnprovenError(BackupError):
    """The backup was restored, but its content is not right."""


def restore(arguments: argparse.Namespace) -> int:
    """Restore a backup into an empty database, with roles and proof, or change nothing.

    Raises BackupError, ArchiveError: nothing was restored. Raises UnprovenError: it was, but the books or the stored
    documents differ.
    """
    file: Path = arguments.file
    if not file.is_file():
        message = f"no such file: {backup.readable(file)}"
        raise BackupError(message)
    stopping.prepare()
    with operators.administering(os.environ, restoring=True) as settings, file.open("rb") as opened:
        stopping.take_note()
        stopping.run(_restore(settings, opened))
    print(f"restored: {backup.readable(file)}")
    return 0


async def _restore(settings: Settings, file: BinaryIO) -> None:
    from src.composition import store_of  # noqa: PLC0415 - the service's imports would slow every other command

    dsn = settings.direct_url
    store = store_of(settings)
    await local.create_database(settings)
    connection = await connect(dsn, server_settings={"application_name": "ecotrips-restore"})
    try:
        await apply.take_lock(connection, tell)
        if await connection.fetchval("select to_regclass('meta.applied') is not null"):
            message = "the database is not empty: restore into a new one"
            raise BackupError(message)
        await apply.make_roles(dsn, lambda role: role_password(settings, role), tell)
        await connection.execute(apply.WITHOUT_LIMIT)
        # Closing the connection rolls back; a failing rollback would hide the first error.
        transaction = connection.transaction()
        await transaction.start()
        rows = await _fill(connection, file)
        await _take_rights(connection)
        faults = await _faults_of_books(connection)
        if await connection.fetchval("select to_regclass('ops.switch_defaults') is not null"):
            await connection.execute(apply.KEEP_SWITCHES, json.dumps(settings.switches))
        with stopping.put_off():
            await _commit(transaction)
            local.keep_switches(settings)
            mocked = [name for name, value in settings.switches.items() if value != LIVE_SWITCHES[name]]
            tell(f"in psql from now on, as in this environment, mocks: {', '.join(mocked) or 'none'}")
            tell(f"{rows:,} rows restored, as many as the backup holds")
        try:
            faults += await _faults_of_documents(connection, store)
        except asyncio.CancelledError:
            tell("stopped: all was restored, and not all stored documents are proved")
            raise
    finally:
        # terminate(), as close() waits for an interrupted copy.
        connection.terminate()
    if faults:
        message = f"all was restored, but it is not right: {'; '.join(faults)}"
        raise UnprovenError(message)


async def _commit(transaction: asyncpg.transaction.Transaction) -> None:
    try:
        await transaction.commit()
    except (*BROKEN, asyncpg.PostgresConnectionError) as error:
        message = (
            f"lost the server at the very end: it restored all or nothing, and ecotrips check says which ({error})"
        )
        raise BackupError(message) from error


async def _fill(connection: Opened, file: BinaryIO) -> int:
    """Restore everything; return the number of rows. Raises BackupError unless every table has all its rows."""
    counts = dict[tuple[str, str], int]()
    derived = list[Statements]()
    async with progress.shown(lambda: f"{archive.read_so_far(file)} restored"):
        await connection.execute(f"{AS_OWNER}; select set_config('search_path', '', true)")
        with archive.opened(file, *OF_THE_SERVER) as parts:
            for part in parts:
                if isinstance(part, ArchivedTable):
                    counts[part.schema, part.name] = await _copy(connection, part)
                elif part.kind == "MATERIALIZED VIEW DATA":
                    derived.append(part)
                else:
                    await _make(connection, part)
    async with progress.shown(lambda: "counting the rows"):
        async with _seen_by_the_owner(connection):
            for part in derived:
                # Derived data that fails to restore does not stop the restore.
                name = f"materialized view {part.schema}.{part.name}"
                await _attempt(connection, part.text, f"not filled: {name}", asyncpg.PostgresError)
            for table, rows in counts.items():
                found = await backup.count(connection, *table)
                if found != rows:
                    message = f"{found} of the {rows} rows of {'.'.join(table)} were restored"
                    raise BackupError(message)
        await connection.execute("analyze; reset role")
    return sum(counts.values())


@asynccontextmanager
async def _seen_by_the_owner(connection: Opened) -> AsyncIterator[None]:
    """For the block, the owner sees every row, also where a policy is forced on the owner."""
    await connection.execute("set local row_security = on")
    forced = [row[0] for row in await connection.fetch(FORCED)]
    for table in forced:
        await connection.execute(f"alter table only {table} no force row level security")
    yield
    for table in forced:
        await connection.execute(f"alter table only {table} force row level security")


async def _take_rights(connection: Opened) -> None:
    """Functions and views of other roles are the owner's now, and run with their caller's rights."""
    for said, name, statement in await connection.fetch(WITH_RIGHTS, [*DEFAULT_SCHEMAS, *INTERNAL_SCHEMAS]):
        await connection.execute(statement)
        tell(f"{said} from now on: {name}")


async def _make(connection: Opened, part: Statements) -> None:
    if not part.kind:
        for name, value in SETTING.findall(part.text):
            # Older servers lack some of them.
            await connection.execute("select set_config($1, $2, true) from pg_settings where name = $1", name, value)
    elif part.kind == "EXTENSION" or part.name.startswith("EXTENSION "):
        # As the administrator, whose it is.
        statement = f"reset role; {part.text}; {AS_OWNER}"
        await _attempt(connection, statement, f"left out: {part.name}", asyncpg.PostgresError)
    elif part.text.strip() and not _is_the_servers(part):
        try:
            await _make_object(connection, part)
        except asyncpg.PostgresConnectionError:
            raise
        except asyncpg.PostgresError as error:
            message = f"{part.kind} {part.schema}.{part.name}: {error.args[0]}"
            raise BackupError(message) from error


async def _make_object(connection: Opened, part: Statements) -> None:
    """Rights and policies are made one by one, because a personal login need not exist here."""
    if part.kind in {"ACL", "DEFAULT ACL"}:
        for statement in filter(SAYS_SOMETHING.search, part.text.split(";\n")):
            await _attempt(connection, statement, f"left out: rights on {part.name}", asyncpg.UndefinedObjectError)
    # A restrictive policy must not be left out, as others would then see more rows.
    elif re.match("POLICY\\b", f"{part.kind} {part.name}".removeprefix("COMMENT ")) and RESTRICTIVE not in part.text:
        await _attempt(connection, part.text, f"left out: policy {part.name}", asyncpg.UndefinedObjectError)
    else:
        await connection.execute(part.text)


async def _attempt(connection: Opened, statement: str, without: str, *errors: type[asyncpg.PostgresError]) -> None:
    """Report some `errors` and go on."""
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except OF_THE_SERVER_ITSELF:
        raise
    except errors as error:
        tell(f"{without} ({error.args[0]})")


def _is_the_servers(part: Statements) -> bool:
    return (
        part.kind == "EVENT TRIGGER"
        # Nothing of ours is one, and pg_restore would end the transaction around them.
        or any(LARGE_OBJECTS.match(word) for word in (part.kind, part.name))
        # Rights on its own functions.
        or part.schema == "pg_catalog"
        # Its rights were given by make_roles.
        or (part.kind, part.name) == ("SCHEMA", "public")
        or part.name == "SCHEMA public"
        or (part.kind == "DEFAULT ACL" and OURS not in part.text)
    )


async def _copy(connection: Opened, table: ArchivedTable) -> int:
    count = 0

    async def pieces() -> AsyncGenerator[bytes, None]:
        nonlocal count
        piece = bytearray()
        for row in table.rows:
            count += 1
            piece += row
            if len(piece) > PIECE:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece)

    async with aclosing(pieces()) as source:
        await connection.copy_to_table(
            table.name, schema_name=table.schema, columns=table.columns or None, source=source
        )
    return count


async def _faults_of_books(connection: Opened) -> list[str]:
    entries = await connection.fetchval("select count(*) from fin.entries")
    async with progress.shown(lambda: f"proving {entries:,} facts of the ledger"):
        faults = await connection.fetch("select stream_id, seq, problem from fin.verify_ledger()")
    if not faults:
        tell(f"the ledger's {entries:,} facts are proved")
        return []
    return [f"{counted(len(faults), 'fault')} in the books, the first: {faults[0]['problem']} (ecotrips ledger verify)"]


async def _faults_of_documents(connection: Opened, store: FileStore) -> list[str]:
    known = {f"{row['bucket']}/{row['path']}": row["sha256"] for row in await connection.fetch(DOCUMENTS)}
    numbered = {f"invoices/{row['storage_path']}" for row in await connection.fetch(NUMBERED)}
    done = 0
    altered = list[str]()
    try:
        invoices = {str(found.name): found for found in await store.listed("invoices")}
        stored = invoices | {str(found.name): found for found in await store.listed("privacy_exports")}
        async with progress.shown(lambda: f"{done:,} of {len(known):,} documents proved"):
            for name in sorted(known.keys() & stored.keys()):
                if await _digest(store, stored[name]) != known[name]:
                    altered.append(name)
                done += 1
    except DomainError as error:
        # The store's library goes on with what helps its authors.
        return [f"stored documents cannot be read: {str(error.__cause__ or error).splitlines()[0]}"]
    print(
        f"{done:,} of {len(known):,} documents are stored here; invoices are rendered when asked for, and archives of"
        " exports are not kept after their links ended",
        file=sys.stderr,
    )
    if later := sorted(invoices.keys() - numbered):
        names = ", ".join(later[-SHOWN:])
        print(f"{len(later):,} files of invoices that this backup does not know, the last: {names}", file=sys.stderr)
    if not altered:
        return []
    return [f"{len(altered):,} stored documents are not those of the backup: {', '.join(altered[:SHOWN])}"]


async def _digest(store: FileStore, stored: StoredObject) -> str:
    digest = hashlib.sha256()
    async for piece in store.read(stored):
        digest.update(piece)
    return digest.hexdigest()
