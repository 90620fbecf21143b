"""`ecotrips db restore FILE`: a backup into an empty database, and the proof that all of it is there and right."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import asyncpg

from src.adapters.files.store import FileStore, store_at
from src.adapters.postgres import apply
from src.adapters.postgres.opened import Opened, connect
from src.commands import archive, backup, local, operators, progress
from src.commands.archive import Statements, Table
from src.commands.backup import BackupError
from src.domain.errors import DomainError
from src.domain.storage import StoredObject
from src.logins import role_password
from src.settings import DEFAULT_SCHEMAS, INTERNAL_SCHEMAS, Settings

# What belongs to the server and its administrator: they have their own.
OF_THE_SERVER = ["--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces"]
SETTING = re.compile(r"^SET (\w+) = '?(\w*)'?;$", re.MULTILINE)
LARGE_OBJECTS = re.compile("BLOB|LARGE OBJECT")
OURS = "FOR ROLE ecotrips_owner "
AS_OWNER = "set local role ecotrips_owner"
PIECE = 1 << 18
WITH_RIGHTS = """
select p.oid::regprocedure::text as name, format('alter routine %s security invoker', p.oid::regprocedure) as statement
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prosecdef and p.proowner = 'ecotrips_owner'::regrole and n.nspname <> all ($1)
union all
select c.oid::regclass::text, format('alter view %s set (security_invoker = true)', c.oid::regclass)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v' and c.relowner = 'ecotrips_owner'::regrole and n.nspname <> all ($1)
"""
DOCUMENTS = """
select 'invoices' as bucket, storage_path as path, sha256 from fin.invoices where sha256 is not null
union all
select 'privacy_exports', export_path, export_sha256 from privacy.requests where export_sha256 is not null
"""
SHOWN = 20
NUMBERED = "select storage_path from fin.invoices"


class UnprovenError(BackupError):
    """Everything was restored, and what the backup holds is not right."""


def restore(arguments: argparse.Namespace) -> int:
    """Fill an empty database from a backup, make the roles it needs and prove it: all of it, or nothing.

    Raises BackupError, ArchiveError: nothing was restored. Raises UnprovenError: all was, and the books, or documents
    that are stored, are not what the backup says.
    """
    file: Path = arguments.file
    if not file.is_file():
        message = f"no such file: {file}"
        raise BackupError(message)
    backup.stop_by_exception()
    with operators.administering(os.environ) as settings, file.open("rb") as opened:
        asyncio.run(_restore(settings, opened))
    print(f"restored: {file}")
    return 0


async def _restore(settings: Settings, file: BinaryIO) -> None:
    dsn = settings.direct_url
    store = store_at(settings.storage_url, settings.data_dir / "storage", only_https=settings.production)
    await local.create_database(dsn)
    connection = await connect(dsn)
    try:
        if await connection.fetchval("select to_regclass('meta.applied') is not null"):
            message = "the database is not empty: restore into a new one"
            raise BackupError(message)
        await apply.make_roles(dsn, lambda role: role_password(settings, role))
        # Undone by the connection's end: an end that fails would hide what went wrong before.
        transaction = connection.transaction()
        await transaction.start()
        rows = await _fill(connection, file)
        await _take_rights(connection)
        faults = await _faults_of_books(connection)
        await transaction.commit()
        print(f"{rows:,} rows restored, as many as the backup holds", file=sys.stderr)
        faults += await _faults_of_documents(connection, store)
    finally:
        # Not close(), which waits for ever for a copy that an interrupt left.
        connection.terminate()
    if faults:
        message = f"all was restored, but it is not right: {'; '.join(faults)}"
        raise UnprovenError(message)


async def _fill(connection: Opened, file: BinaryIO) -> int:
    """Make and fill everything; return how many rows. Raises BackupError unless every table holds its rows then."""
    counts = dict[tuple[str, str], int]()
    async with progress.shown(lambda: f"{archive.read_so_far(file)} restored"):
        await connection.execute(f"{AS_OWNER}; select set_config('search_path', '', true)")
        with archive.opened(file, *OF_THE_SERVER) as parts:
            for part in parts:
                if isinstance(part, Table):
                    counts[part.schema, part.name] = await _copy(connection, part)
                else:
                    await _make(connection, part)
    async with progress.shown(lambda: "counting the rows"):
        await connection.execute("set local row_security = on")
        for table, rows in counts.items():
            found = await backup.count(connection, *table)
            if found != rows:
                message = f"{found} of the {rows} rows of {'.'.join(table)} were restored"
                raise BackupError(message)
        await connection.execute("analyze; reset role")
    return sum(counts.values())


async def _take_rights(connection: Opened) -> None:
    """Whose others' functions and views were is not restored: they get no rights of the owner whose they are now."""
    for row in await connection.fetch(WITH_RIGHTS, [*DEFAULT_SCHEMAS, *INTERNAL_SCHEMAS]):
        await connection.execute(row["statement"])
        print(f"with its caller's rights from now on: {row['name']}", file=sys.stderr)


async def _make(connection: Opened, part: Statements) -> None:
    if not part.kind:
        for name, value in SETTING.findall(part.text):
            # Older servers know fewer of them.
            await connection.execute("select set_config($1, $2, true) from pg_settings where name = $1", name, value)
    elif part.kind == "EXTENSION" or part.name.startswith("EXTENSION "):
        # As the administrator, whose it is.
        try:
            async with connection.transaction():
                await connection.execute(f"reset role; {part.text}; {AS_OWNER}")
        except asyncpg.PostgresError as error:
            print(f"left out: {part.name} ({error})", file=sys.stderr)
    elif part.text.strip() and not _is_the_servers(part):
        try:
            if part.kind == "ACL":
                await _grant(connection, part)
            else:
                await connection.execute(part.text)
        except asyncpg.PostgresConnectionError:
            raise
        except asyncpg.PostgresError as error:
            message = f"{part.kind} {part.schema}.{part.name}: {error}"
            raise BackupError(message) from error


async def _grant(connection: Opened, part: Statements) -> None:
    """Each right by itself: a person's own login need not exist here, and no backup holds it."""
    for statement in filter(str.strip, part.text.split(";\n")):
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except asyncpg.UndefinedObjectError as error:
            print(f"left out: rights on {part.name} ({error})", file=sys.stderr)


def _is_the_servers(part: Statements) -> bool:
    return (
        part.kind == "EVENT TRIGGER"
        # Nothing of ours is one, and pg_restore would end the transaction around them.
        or any(LARGE_OBJECTS.match(word) for word in (part.kind, part.name))
        # Its rights were given by make_roles.
        or (part.kind, part.name) == ("SCHEMA", "public")
        or part.name == "SCHEMA public"
        or (part.kind == "DEFAULT ACL" and OURS not in part.text)
    )


async def _copy(connection: Opened, table: Table) -> int:
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
        print(f"the ledger's {entries:,} facts are proved", file=sys.stderr)
        return []
    return [f"{len(faults)} faults in the books, the first: {faults[0]['problem']} (ecotrips ledger verify)"]


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
