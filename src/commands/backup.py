"""`ecotrips db backup FILE`: a complete archive of pg_dump, or no file."""

from __future__ import annotations

import argparse
import asyncio
import errno
import fcntl
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import asyncpg

from src.commands import archive, clients, operators, progress, stopping
from src.database import apply
from src.database.opened import Opened, connect
from src.database.unprivileged import ServerUser
from src.settings import Settings

# The suffix of unfinished files; the next backup in the folder removes abandoned ones.
PARTIAL = ".ecotrips-partial"
# No policy hides rows from this login.
HIDDEN = """
with policies as (
  select polrelid, polpermissive as permissive, pg_get_expr(polqual, polrelid) = 'true' as shows_all
  from pg_policy, unnest(polroles) as role
  where polcmd in ('*', 'r') and case role when 0 then true else pg_has_role(role, 'usage') end
)
select c.oid::regclass::text from pg_class c
where c.relkind in ('r', 'p') and row_security_active(c.oid) and not coalesce(
  (select bool_or(permissive and shows_all) and bool_and(permissive) from policies where polrelid = c.oid), false
)
"""
# Every table whose rows a dump holds; extensions say which of their tables that is.
TABLES = """
select n.nspname, c.relname, format('only %I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
"""
# Longer than what is done to tables in use. A backup and who changes a table could wait for each other without end:
# pg_dump behind the change, that behind this process, and this one for pg_dump.
LOCKS_MS = 60_000
# Providers end sessions that wait, as this one does for pg_dump; older servers know fewer of these.
TIMEOUTS = """
select set_config(name, case name when 'lock_timeout' then $1 else '0' end, false) from pg_settings
where name in ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'lock_timeout')
"""
# Who changes what tables are, and has them or waits for them.
CHANGING = """
select string_agg(distinct format('%s of %s', a.pid, a.usename), ', ')
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.relation >= 16384
  and l.database = (select oid from pg_database where datname = current_database())
"""
CHANGED = (
    *(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError),
    *(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError),
)
# pg_dump waits for locks by its time for a statement.
LOCKED = re.compile("(lock|statement) timeout|deadlock detected")
# What archives of pg_dump's begin with.
MAGIC = b"PGDMP"

# How many rows are read before the event loop runs other tasks.
TURN = 10_000

Counts = Mapping[tuple[str, str], int]


class BackupError(ValueError):
    """The backup was not written, or not restored."""


def backup(arguments: argparse.Namespace) -> int:
    """Write a consistent backup while the database serves, and prove that the file holds every row.

    Only the owner can read the file, and it appears when it is complete. Raises BackupError, ArchiveError, and OSError
    that names the file.
    """
    stopping.prepare()
    # Follow a symbolic link, so that its target is replaced. Path.resolve would fail on a loop.
    file = Path(os.path.realpath(arguments.file))
    with operators.administering(os.environ) as settings:
        _require_replaceable(file, settings)
        dsn = settings.direct_url
        # -B excludes large objects: none is ours, and any login can create them.
        options = ["--format=custom", "-B", "--encoding=UTF8", "--enable-row-security"]
        command, environment = clients.connecting("pg_dump", dsn, *options, f"--lock-wait-timeout={LOCKS_MS}")
        stopping.take_note()
        with _replacing(file) as partial:
            rows = stopping.run(_dump(dsn, command, environment, partial))
            written = os.fstat(partial.fileno()).st_size
    print(f"written: {readable(file)} ({rows:,} rows, {progress.size(written)})")
    return 0


def readable(file: Path) -> str:
    """The path with escapes in place of undecodable and control characters."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(file))
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _require_replaceable(file: Path, settings: Settings) -> None:
    """The backup would destroy nothing else at its place, and others cannot read it."""
    kept = settings.storage_url.removeprefix("file://") if settings.storage_url.startswith("file://") else ""
    storage = Path(kept or settings.data_dir / "storage").resolve()
    installation = {settings.data_dir.resolve() / name for name in ("locks", "binaries")}
    for folder in file.parents:
        if (folder / "PG_VERSION").exists():
            message = f"{readable(file)} is in PostgreSQL's own folder {readable(folder)}: back up elsewhere"
            raise BackupError(message)
        if folder == storage or folder in installation:
            message = f"{readable(file)} is in the installation's own folder {readable(folder)}: back up elsewhere"
            raise BackupError(message)
    if file.suffix == PARTIAL:
        message = f"{readable(file)} is named as what was not finished, which is removed"
        raise BackupError(message)
    if not file.exists():
        return
    if not file.is_file():
        message = f"{readable(file)} is no ordinary file"
        raise BackupError(message)
    with file.open("rb") as former:
        begins = former.read(len(MAGIC))
    if begins not in {b"", MAGIC}:
        message = f"{readable(file)} is no backup, and is not replaced by one"
        raise BackupError(message)


@contextmanager
def _replacing(file: Path) -> Iterator[BinaryIO]:
    """A new file in the same folder that replaces `file` when the block succeeds.

    Raises OSError that names the file, and KeyboardInterrupt.
    """
    with _naming(file):
        left = [path for path in file.parent.iterdir() if path.suffix == PARTIAL]
    for path in left:
        _remove_abandoned(path)
    with _naming(file):
        # The name is not derived from the file's, which may have the maximum length already.
        descriptor, name = tempfile.mkstemp(PARTIAL, f"{os.getpid()}-", file.parent)
    os.close(descriptor)
    partial = Path(name)
    with partial.open("r+b") as opened:
        try:
            with suppress(OSError):  # of a file system without locks: there nobody removes what others left
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield opened
            with _naming(file):
                os.fsync(opened.fileno())
            stopping.check()
            partial.rename(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    folder = os.open(file.parent, os.O_RDONLY)
    with _naming(file.parent):
        os.fsync(folder)
    os.close(folder)


def _remove_abandoned(partial: Path) -> None:
    """Remove files of killed backups; running ones hold a lock."""
    with suppress(OSError), partial.open("r+b") as left:
        fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Adds the file's name to errors of writing."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or "", str(file)) from None


async def _dump(dsn: str, command: list[str], environment: Mapping[str, str], file: BinaryIO) -> int:
    """Write the archive and return its number of rows."""
    connection = await connect(dsn, server_settings={"application_name": "ecotrips-backup"})
    try:
        counted = await _dumped(connection, command, environment, file)
    except CHANGED as error:
        raise BackupError(await _changing(dsn)) from error
    finally:
        # terminate(), as close() waits for an answer.
        connection.terminate()
    async with progress.shown(lambda: f"{archive.read_so_far(file)} read again"):
        held = await _held(file)
    _require_same(counted, held)
    return sum(held.values())


async def _dumped(connection: Opened, command: list[str], environment: Mapping[str, str], file: BinaryIO) -> Counts:
    """Write the archive; return the expected rows. Raises CHANGED."""
    try:
        await apply.take_lock(connection, tell, shared=True)
    except apply.ApplyError as error:
        # The lock keeps SQL from being applied meanwhile, and no other session blocks the backup.
        tell(str(error))
    await connection.execute(TIMEOUTS, str(LOCKS_MS))
    tables = ", ".join(quoted for *_, quoted in await connection.fetch(TABLES))
    await connection.execute("begin isolation level repeatable read read only")
    if tables:
        # Locks come before the snapshot, because an older snapshot would miss rows that a change of a table rewrites.
        await connection.execute(f"lock table {tables} in access share mode")
    if hidden := await connection.fetch(HIDDEN):
        some = ", ".join(row[0] for row in hidden[:3])
        message = f"row security hides rows from this login (of {some}): back up as the administrator"
        raise BackupError(message)
    total = progress.size(await connection.fetchval("select pg_database_size(current_database())"))
    snapshot = await connection.fetchval("select pg_export_snapshot()")

    def written() -> str:
        return f"{progress.size(os.fstat(file.fileno()).st_size)} written of a database of {total}"

    async with progress.shown(written):
        process = await asyncio.create_subprocess_exec(
            *(*command, f"--snapshot={snapshot}", f"--file={file.name}"),
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            preexec_fn=ServerUser(Path()).prepare(os.getpid()),
        )
        try:
            counted, (_, told) = await asyncio.gather(_counts(connection), process.communicate())
        finally:
            if process.returncode is None:
                # process.kill() could reap the exit status that others wait for.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        said = told.decode(errors="replace")
        if LOCKED.search(said):
            raise asyncpg.LockNotAvailableError(said)
        raise BackupError(archive.reason("pg_dump", said, process.returncode))
    return counted


async def _changing(dsn: str) -> str:
    connection = await connect(dsn)
    try:
        changing = await connection.fetchval(CHANGING)
    finally:
        connection.terminate()
    by = f" (process {changing})" if changing else ""
    return f"tables are being changed{by}, and a backup has to wait for that: back up again when it has ended"


def tell(line: str) -> None:
    print(line, file=sys.stderr)


async def _counts(connection: Opened) -> Counts:
    """The number of rows of every dumped table in this transaction."""
    tables = [(schema, name) for schema, name, _ in await connection.fetch(TABLES)]
    return {table: await count(connection, *table) for table in tables}


async def count(connection: Opened, schema: str, name: str) -> int:
    quoted = await connection.fetchval("select format('%I.%I', $1::text, $2::text)", schema, name)
    return int(await connection.fetchval(f"select count(*) from only {quoted}"))  # noqa: S608 - quoted by the server


async def _held(file: BinaryIO) -> Counts:
    """The number of rows of every table in an archive."""
    held = dict[tuple[str, str], int]()
    with archive.opened(file, "--data-only") as parts:
        for part in parts:
            if isinstance(part, archive.ArchivedTable):
                rows = 0
                for rows, _ in enumerate(part.rows, 1):
                    if rows % TURN == 0:
                        await asyncio.sleep(0)
                held[part.schema, part.name] = rows
    return held


def _require_same(counted: Counts, held: Counts) -> None:
    for table, rows in counted.items():
        if held.get(table) != rows:
            message = f"the archive holds {held.get(table, 0)} of the {rows} rows of {'.'.join(table)}"
            raise BackupError(message)
