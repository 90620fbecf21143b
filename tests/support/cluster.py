"""A primary with a hot standby: real servers of their own, for tests that stop, promote or hold them up."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from src.database.embedded import EmbeddedPostgres, binaries, running
from tests.support import postgres

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it


@dataclass
class Cluster:
    """Both servers; `database` is the name of one with the shipped SQL and the demo data."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    database: str = ""

    @property
    def primary_dsn(self) -> str:
        return self.primary.url(self.database)

    @property
    def standby_dsn(self) -> str:
        return self.standby.url(self.database)

    @property
    def writable_dsn(self) -> str:
        """Whichever of both takes writes: the way an installation names a primary that may fail over."""
        hosts = ",".join(str(server.socket_folder) for server in (self.primary, self.standby))
        return f"postgresql://postgres@/{self.database}?host={hosts}&port=5432,5432&target_session_attrs=read-write"


@contextmanager
def server(programs: Path | None = None) -> Iterator[EmbeddedPostgres]:
    """A server of its own, as an installation runs it: commits wait for the (fast) disk."""
    with (
        tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as folder,
        running(EmbeddedPostgres(Path(folder), programs or binaries(os.environ.get("POSTGRES_BIN")))) as postgres,
    ):
        yield postgres


def start_again(stopped: EmbeddedPostgres) -> None:
    """Start a server, stopped or crashed, that its `server()` still uses."""
    with running(stopped):
        pass


@contextmanager
def cluster() -> Iterator[Cluster]:
    with server() as primary, tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as folder:
        standby = EmbeddedPostgres(Path(folder), primary.bin)
        made = Cluster(primary, standby)
        copy(standby, primary)
        with running(standby):
            made.database = postgres.make_template(postgres.Server(primary.url("postgres")))
            yield made


def copy(standby: EmbeddedPostgres, primary: EmbeddedPostgres) -> None:
    """Give `standby` a copy of the primary's data; started, it replays the primary's log from there on."""
    program: list[str | Path] = [standby.bin / "pg_basebackup", "-D", standby.data, "-d", primary.url("postgres")]
    subprocess.run([*program, "-X", "stream", "-R", "-c", "fast"], check=True)
    owner = primary.data.stat()
    for path in (standby.folder, standby.data, *standby.data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


async def execute(dsn: str, statement: str) -> object:
    """The first value of a statement run as the administrator."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
