"""Disposable PostgreSQL for tests: one server for a test process, one database for a test."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from src.adapters.postgres.seed import seed_demo
from src.database import apply
from src.database.embedded import EmbeddedPostgres, binaries, running
from src.logins import role_password
from src.settings import OFFLINE_SWITCHES, Settings
from tests.rest.http.conftest import CONFIGURATION, serving_world, world_template  # noqa: F401 - a fixture

JWT_SECRET = "a-secret-of-tests-that-is-long-enough-for-hs256"


@dataclass
class Server:
    """A server; `dsn` is its administrator's on the database postgres."""

    dsn: str
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    templates: set[str] = field(default_factory=set)

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    async def execute(self, statement: str, database: str = "") -> None:
        connection = await asyncpg.connect(self.url(database) if database else self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def create(self, template: str | None = None) -> str:
        """A new database's DSN; of a template, it is copied file by file."""
        name = f"test_{os.getpid()}_{next(self.numbers)}"
        clause = f'template "{template}" strategy file_copy' if template else ""
        await self.execute(f'create database "{name}" {clause}')
        if template in self.templates:
            # A copy has the rights of a new database.
            await self.execute(apply.DATABASE_FILE.read_text(), name)
        return self.url(name)

    async def drop(self, dsn: str) -> None:
        await self.execute(f'drop database if exists "{urlsplit(dsn).path[1:]}" with (force)')

    async def create_template(self) -> str:
        """The name of a database with the shipped SQL and the demo data."""
        dsn = await self.create()
        given = settings(dsn)
        await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))
        await seed_demo(dsn)
        name = urlsplit(dsn).path[1:]
        self.templates.add(name)
        return name


@contextmanager
def disposable(choice: str) -> Iterator[Server]:
    """`auto`: a container where Docker answers, else embedded; `docker`, `embedded`, or a DSN of an administrator."""
    with ExitStack() as stack:
        if choice.startswith("postgres"):
            yield Server(choice)
        elif choice == "docker" or (choice == "auto" and _docker_answers()):
            yield Server(stack.enter_context(_container()))
        else:
            # In memory where the system has it: a database a test is 10 ms there, 300 ms on a slow disk.
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=memory)))
            server = EmbeddedPostgres(folder, binaries(os.environ.get("POSTGRES_BIN")), durable=False)
            stack.enter_context(running(server))
            yield Server(server.url("postgres"))


def _docker_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    import docker  # noqa: PLC0415 - only where it is asked for

    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return False
    return True


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only where it is asked for

    image = os.environ.get("ECOTRIPS_TEST_POSTGRES_IMAGE", "postgres:18")
    server = PostgresContainer(image, username="postgres", dbname="postgres", driver=None)
    server.with_command("postgres -c fsync=off")
    if _engine_has_network():
        with server:
            yield server.get_connection_url()
        return
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-") as folder:
        Path(folder).chmod(0o777)
        server.with_volume_mapping(folder, "/var/run/postgresql", "rw").with_kwargs(network_mode="none")
        server.with_tmpfs_mount("/var/lib/postgresql/data")
        with server:
            yield f"postgresql://postgres@/postgres?host={folder}"


def _engine_has_network() -> bool:
    """False for an engine without a bridge (engine.py): a server of it is reached by a socket in a folder."""
    import docker  # noqa: PLC0415 - only where it is asked for

    return bool(docker.from_env().networks.list(names=["bridge"]))


def with_login(dsn: str, login: str, password: str) -> str:
    """The DSN with another login in place of the administrator's."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{login}:{password}@{parts.netloc.rpartition('@')[2]}"))


def settings(dsn: str, **changes: object) -> Settings:
    """Settings of a service on this database, offline unless told otherwise."""
    given: dict[str, object] = {
        "jwt_secret": JWT_SECRET,
        "database_url": dsn,
        "database_role_secret": JWT_SECRET,
        "pool_size": 4,
        "storage_url": "memory://",
        "switches": dict(OFFLINE_SWITCHES),
    }
    return Settings(**{**given, **changes})  # type: ignore[arg-type]  # names are checked by the dataclass itself


def make_template(server: Server) -> str:
    """In a thread: a test's own loop may be running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(server.create_template())).result()


def sql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
