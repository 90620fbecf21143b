"""`ecotrips db backup FILE` and `db restore FILE`: PostgreSQL's own dump, and the roles that it does not carry."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from src.adapters.postgres import apply
from src.adapters.postgres.opened import connect
from src.commands import clients, local
from src.logins import role_password


class BackupError(ValueError):
    """The dump was not written or not restored."""


def backup(arguments: argparse.Namespace) -> int:
    """Write the whole database as of one moment to a file, while it serves. Raises BackupError."""
    file: Path = arguments.file
    with local.database(os.environ) as settings:
        # An administrator who is no superuser sees all rows by the owner's policy.
        _run("pg_dump", settings.direct_url, "--format=custom", "--enable-row-security", f"--file={file}")
    print(f"written: {file}")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Fill an empty database from a backup and make the roles it needs. Raises BackupError."""
    file: Path = arguments.file
    if not file.is_file():
        message = f"no such file: {file}"
        raise BackupError(message)
    with local.database(os.environ) as settings:
        dsn = settings.direct_url
        asyncio.run(local.create_database(dsn))
        asyncio.run(_require_empty(dsn))
        asyncio.run(apply.make_roles(dsn, lambda role: role_password(settings, role)))
        _run("pg_restore", dsn, "--exit-on-error", "--single-transaction", str(file))
    print(f"restored: {file}")
    return 0


async def _require_empty(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        if await connection.fetchval("select to_regclass('meta.applied') is not null"):
            message = "the database is not empty: restore into a new one"
            raise BackupError(message)
    finally:
        await connection.close()


def _run(program: str, dsn: str, *arguments: str) -> None:
    done = clients.run(program, dsn, *arguments, captured=True)
    if done.returncode:
        # The last line says what is wrong; the others may quote rows.
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        message = f"{program} failed: {lines[0] if lines else done.returncode}"
        raise BackupError(message)
