"""Chooses among the installed PostgreSQL programs, because those of the embedded wheel have no TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from src.commands import stopping
from src.database import opened
from src.database.dsn import LEAD_ELSEWHERE, Dsn, for_libpq
from src.database.embedded import binaries
from src.database.opened import connect
from src.settings import programs

# Debian installs each release in a folder of its own.
INSTALLED = Path("/usr/lib/postgresql")
# The same timeout as for our own connections.
SILENCE = {
    "keepalives_idle": str(opened.KEEP_ALIVE_AFTER),
    "keepalives_interval": str(opened.KEEP_ALIVE_EVERY),
    "tcp_user_timeout": str(opened.SILENCE * 1000),
}
WITHOUT_TLS = "SSL support is not compiled in"


class ClientMissingError(ValueError):
    """No installed program fits; the message says what to install."""


class Client(NamedTuple):
    """A PostgreSQL program and its major version, None where that does not matter."""

    path: Path
    major: int | None


def run(program: str, dsn: str, *arguments: str) -> int:
    """Run psql on a database; returns its exit status. Raises ClientMissingError."""
    command, environment = connecting(program, dsn, *arguments)
    return subprocess.run(command, check=False, env=environment).returncode  # noqa: S603 - the user's own words


def connecting(program: str, dsn: str, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
    """The command and environment of psql or pg_dump. The password is in the environment only.

    Raises ClientMissingError.
    """
    found = client(program, dsn, os.environ)
    given = Dsn.of(dsn)
    dsn = str(given.with_values({name: value for name, value in SILENCE.items() if name not in given.parameters}))
    shown, secret = for_libpq(dsn, os.environ, found.major)
    environ = {name: text for name, text in os.environ.items() if name not in LEAD_ELSEWHERE}
    command = [str(found.path), shown if program == "psql" else f"--dbname={shown}", *arguments]
    return command, {**environ, **secret}


def newest(program: str) -> Path:
    """The newest installed program, which reads archives of all older releases."""
    folders = {*_folders(os.environ), binaries()}
    return max((folder / program for folder in folders if (folder / program).exists()), key=_major)


def client(program: str, dsn: str, environ: Mapping[str, str]) -> Client:
    """A program that can reach the server, of its release or the next installed one.

    POSTGRES_BIN overrides the choice. psql may be older than the server; pg_dump and pg_restore may not.
    """
    given = Dsn.of(dsn).verified(environ)
    by_socket = ",".join(host.name for host in given.hosts) or environ.get("PGHOST", "") or "/"
    mode = given.value("sslmode") or environ.get("PGSSLMODE", "")
    if by_socket.startswith("/") or mode == "disable":
        return Client(binaries(programs(environ, program)) / program, None)
    folders = list(_folders(environ))
    found = {folder: _major(folder / program) for folder in folders if (folder / program).exists()}
    # TLS is optional there, so a program without it will do.
    able = {folder: major for folder, major in found.items() if _speaks_tls(folder)} or ({} if mode else found)
    wanted = stopping.run(_server_major(dsn))
    fitting = [folder for folder, major in able.items() if major >= wanted]
    if not fitting and not (able and program == "psql"):
        message = (
            f"no {program} here speaks TLS with PostgreSQL {wanted}: install postgresql-client-{wanted},"
            " or name a folder with it in POSTGRES_BIN"
        )
        raise ClientMissingError(message)
    # The newest psql is best, but dumps are made by the server's own release.
    chosen = min(fitting, key=able.__getitem__) if program != "psql" else max(able, key=able.__getitem__)
    return Client(chosen / program, able[chosen])


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := programs(environ):
        yield named
        return
    yield from INSTALLED.glob("*/bin")
    on_path = shutil.which("psql", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path).parent
    yield binaries()


def _major(program: Path) -> int:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    return int(said.split("PostgreSQL) ")[1].split()[0].partition(".")[0])


def _speaks_tls(folder: Path) -> bool:
    """A libpq without TLS refuses sslmode=require before it connects."""
    nowhere = [str(folder / "psql"), "--dbname=host=/nonexistent sslmode=require"]
    return WITHOUT_TLS not in subprocess.run(nowhere, capture_output=True, text=True, check=False).stderr  # noqa: S603 - ours


async def _server_major(dsn: str) -> int:
    connection = await connect(dsn, timeout=10)
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()
