"""`ecotrips db backup FILE`: an archive of pg_dump's that is whole, or no file."""

from __future__ import annotations

import argparse
import asyncio
import errno
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import asyncpg

from src.adapters.postgres.opened import connect
from src.adapters.postgres.unprivileged import Runner
from src.commands import archive, clients, operators, progress

# What is left of a backup that was killed ends so, and the next one in that folder removes it.
PARTIAL = ".ecotrips-partial"
# Row security hides no row from this login: a policy shows it all of them, and none restricts that.
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
# Every table whose rows a dump holds: what extensions keep in theirs is said by each extension.
TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
"""
# Providers end sessions that wait, as this one does for pg_dump; older servers know fewer of these.
NO_TIMEOUTS = """
select set_config(name, '0', true) from pg_settings
where name in ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""

# Rows that are read before something else gets its turn.
TURN = 10_000

Counts = Mapping[tuple[str, str], int]


class BackupError(ValueError):
    """The backup was not written, or not restored."""


def backup(arguments: argparse.Namespace) -> int:
    """Write the whole database as of one moment to a file, while it serves, and prove that the file holds every row.

    The file is its owner's alone. Until it is whole nothing is at its place but what was there before. Raises
    BackupError, ArchiveError, and OSError that names the file.
    """
    # Past a symbolic link, so that the file is replaced and the link stays.
    file: Path = arguments.file.resolve()
    if file.exists() and not file.is_file():
        message = f"{file} is no ordinary file"
        raise BackupError(message)
    with operators.administering(os.environ) as settings:
        dsn = settings.direct_url
        # Large objects are nobody's of ours, and any login makes them: -B leaves them out.
        options = ["--format=custom", "-B", "--encoding=UTF8", "--enable-row-security"]
        command, environment = clients.connecting("pg_dump", dsn, *options)
        with _replacing(file) as partial:
            rows = asyncio.run(_dump(dsn, command, environment, partial))
            written = os.fstat(partial.fileno()).st_size
    print(f"written: {file} ({rows:,} rows, {progress.size(written)})")
    return 0


@contextmanager
def _replacing(file: Path) -> Iterator[BinaryIO]:
    """A new file beside that takes the place of `file` when the block has ended well, and is gone otherwise.

    Raises OSError that names the file.
    """
    stop_by_exception()
    for path in file.parent.iterdir():
        if path.suffix == PARTIAL:
            _remove_abandoned(path)
    partial = file.with_name(f"{file.name}.{os.getpid()}{PARTIAL}")
    partial.touch(0o600, exist_ok=False)
    with partial.open("r+b") as opened:
        try:
            with suppress(OSError):  # of a file system without locks: there nobody removes what others left
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield opened
            with _naming(file):
                os.fsync(opened.fileno())
            partial.rename(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    folder = os.open(file.parent, os.O_RDONLY)
    with _naming(file.parent):
        os.fsync(folder)
    os.close(folder)


def _remove_abandoned(partial: Path) -> None:
    """What a killed backup left; whoever is writing still holds a lock."""
    with suppress(OSError), partial.open("r+b") as left:
        fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """What is raised while writing does not name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or "", str(file)) from None


def stop_by_exception() -> None:
    """Whoever ends this process otherwise than by SIGKILL lets it remove what is half written.

    At once: asyncio's own handler of SIGINT takes effect at the next await, and reading an archive may wait for long
    before one. What was ignored when the process began (`nohup`) is ignored.
    """
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, _interrupt)


def _interrupt(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


async def _dump(dsn: str, command: list[str], environment: Mapping[str, str], file: BinaryIO) -> int:
    """Write the archive and return how many rows it holds."""
    connection = await connect(dsn)
    try:
        # Ended by the connection's end: an end that fails would hide what went wrong before.
        await connection.execute("begin isolation level repeatable read read only")
        await connection.execute(NO_TIMEOUTS)
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
                preexec_fn=Runner(Path()).prepare(os.getpid()),
            )
            try:
                counted, (_, told) = await asyncio.gather(_counts(connection), process.communicate())
            finally:
                if process.returncode is None:
                    # Not process.kill(), which may take the exit status away from who waits for it.
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise BackupError(archive.reason("pg_dump", told.decode(errors="replace"), process.returncode))
    finally:
        await connection.close()
    async with progress.shown(lambda: f"{archive.read_so_far(file)} read again"):
        held = await _held(file)
    _require_same(counted, held)
    return sum(held.values())


async def _counts(connection: asyncpg.Connection) -> Counts:
    """The rows of every table that a dump holds, as this transaction sees them."""
    tables = [(schema, name) for schema, name in await connection.fetch(TABLES)]
    return {table: await count(connection, *table) for table in tables}


async def count(connection: asyncpg.Connection, schema: str, name: str) -> int:
    """The rows of a table."""
    quoted = await connection.fetchval("select format('%I.%I', $1::text, $2::text)", schema, name)
    return int(await connection.fetchval(f"select count(*) from only {quoted}"))  # noqa: S608 - quoted by the server


async def _held(file: BinaryIO) -> Counts:
    """The rows of every table in an archive."""
    held = dict[tuple[str, str], int]()
    with archive.opened(file, "--data-only") as parts:
        for part in parts:
            if isinstance(part, archive.Table):
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
