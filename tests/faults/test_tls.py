"""PostgreSQL by TLS: everything that connects does it so, and to nobody but the server that is meant."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from src.commands import clients
from src.commands.clients import ClientMissingError
from src.database import pipeline as module
from src.database.connections import Connections, DedicatedConnections
from src.database.errors import BROKEN
from src.database.notifications import Notifications
from src.database.opened import connect
from src.database.pipeline import Pipeline
from src.database.standby import Standby
from tests.conftest import serving
from tests.rest.http.conftest import ROLES, WORLD
from tests.support.postgres import Server
from tests.support.processes import ROOT, ecotrips, environment, free_port
from tests.support.races import until
from tests.support.standalone import execute, is_ready, knows, standalone
from tests.support.tls import PASSWORD, TlsServer

ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


def name_of(dsn: str) -> str:
    return urlsplit(dsn).path[1:]


@pytest.fixture
async def empty(over_tls: Server) -> AsyncIterator[str]:
    dsn = await over_tls.create()
    yield dsn
    await over_tls.drop(dsn)


async def test_all_that_the_service_opens_is_encrypted(
    tls: TlsServer, tls_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUICK", 60)
    async with serving(tls_database) as api:
        for headers in (api.anonymous, api.ops, api.service):
            for _ in range(3):
                await api.http.get("/rest/v1/booking.itineraries?select=id&limit=1", headers=headers)
                await api.get("ops-bookings", headers)
        assert (await api.http.get("/readyz")).status_code == 200
        seen = await tls.connections(name_of(tls_database))
    assert {row["usename"] for row in seen} >= {"web_authenticated", "web_service"}
    assert any("pg_listening_channels" in row["query"] for row in seen)
    assert {row["ssl"] for row in seen} == {True}


async def test_the_standalone_server_is_encrypted(tls: TlsServer, empty: str, tmp_path: Path) -> None:
    await execute(empty, ROLES + WORLD.read_text())
    given = {"PGRST_DB_URI": empty.replace(f"postgres:{PASSWORD.replace(' ', '%20')}@", "gate:gate@")}
    with standalone(empty, tmp_path, **given) as served:
        assert served.http.get("/countries?select=id&id=eq.1").json() == [{"id": 1}]
        seen = await tls.connections(name_of(empty))
        assert {(row["usename"], row["ssl"]) for row in seen} == {("gate", True)}
        await execute(empty, "create table zoo.fresh (id int); notify pgrst")
        served.wait(lambda: knows(served, "fresh") and is_ready(served))


async def test_psql_backup_and_restore_are_encrypted(tls_database: str, empty: str, tmp_path: Path) -> None:
    def run(dsn: str, *arguments: str) -> str:
        ran = ecotrips(tmp_path, *arguments, DATABASE_URL=dsn)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    bound = f"{tls_database}&channel_binding=require"
    assert run(bound, "db", "psql", "-Atc", ENCRYPTED) == "t\n"
    assert run(tls_database, "psql", "-Atc", f"{ENCRYPTED}; select session_user") == "t\npsql_staff\n"
    run(bound, "db", "backup", "dump")
    run(empty, "db", "restore", "dump")
    count = "select count(*) from booking.itineraries"
    assert run(empty, "db", "psql", "-Atc", count) == run(tls_database, "db", "psql", "-Atc", count) != "0\n"
    run(empty, "worker", "--once")


async def test_a_check_says_whether_others_may_listen(tls: TlsServer, tls_database: str, tmp_path: Path) -> None:
    name = name_of(tls_database)
    for dsn, way in (
        (tls_database, "by TLS, its name proved"),
        (tls.dsn(name, sslmode="require", sslrootcert=None), "by TLS, its name not proved"),
        (tls.server.url(name), "by a socket"),
    ):
        assert f", {way}\n" in ecotrips(tmp_path, "check", DATABASE_URL=dsn).stdout


async def test_client_certificates_are_shown(tls: TlsServer, tls_database: str, tmp_path: Path) -> None:
    certificate, key = tls.good.issue("postgres")
    files = {"sslcert": tmp_path / "client.crt", "sslkey": tmp_path / "client.key"}
    for file, content in zip(files.values(), (certificate, key), strict=True):
        file.touch(mode=0o600)
        file.write_bytes(content)
    (tls.server.data / "root.crt").write_bytes(tls.good.file.read_bytes())
    for statement in ("alter system set ssl_ca_file = 'root.crt'", "select pg_reload_conf()"):
        await execute(tls.server.url("postgres"), statement)
    dsn = tls.dsn(name_of(tls_database), **{name: str(file) for name, file in files.items()})
    shown = "select client_dn from pg_stat_ssl where pid = pg_backend_pid()"

    async def is_shown() -> bool:
        connection = await connect(dsn)
        try:
            return bool(await connection.fetchval(shown) == "/CN=postgres")
        finally:
            await connection.close()

    await until(is_shown)
    assert ecotrips(tmp_path, "db", "psql", "-Atc", shown, DATABASE_URL=dsn).stdout == "/CN=postgres\n"


async def test_both_ways_take_the_options_that_one_of_them_knows(
    tls: TlsServer, tls_database: str, tmp_path: Path
) -> None:
    options = {
        "application_name": "ours alone",
        "options": "-c jit=off",
        "search_path": '"a b", public',
        "connect_timeout": "20",
        "keepalives": "1",
        "target_session_attrs": "read-write",
    }
    dsn = tls.dsn(name_of(tls_database), **options).replace("@localhost:", f"@localhost:{free_port()},localhost:")
    asked = "select array(select current_setting(name) from unnest('{application_name,jit,search_path}'::text[]) name)"
    connection = await connect(dsn)
    found = await connection.fetchval(asked)
    await connection.close()
    assert found == ["ours alone", "off", '"a b", public']
    said = ecotrips(tmp_path, "db", "psql", "-Atc", f"select array_to_json(({asked}))", DATABASE_URL=dsn)
    assert said.stdout == '["psql","off","\\"a b\\", public"]\n'.replace("psql", "ours alone"), said.stderr


FAULTS = ["another authority", "another name", "expired", "plain text"]


@pytest.fixture(params=FAULTS)
async def wrong(request: pytest.FixtureRequest, tls: TlsServer, tls_database: str) -> AsyncIterator[str]:
    """A DSN whose server is not proved to be the one that is meant."""
    fault, database = request.param, name_of(tls_database)
    certificate = {
        "another name": tls.good.issue("db.example.org"),
        "expired": tls.good.issue("localhost", lifetime=timedelta(hours=-1)),
        "plain text": None,
    }
    if fault in certificate:
        await tls.show(certificate[fault])
    yield tls.dsn(database, sslrootcert=str(tls.other.file)) if fault == "another authority" else tls.dsn(database)
    await tls.show(tls.good.issue("localhost"))


async def test_nothing_in_the_service_connects_to_another_server(tls: TlsServer, tls_database: str, wrong: str) -> None:
    async def used(source: Connections | DedicatedConnections) -> None:
        async with source.acquire():
            pass

    pool = Connections(wrong, 2)
    for attempt in (connect(wrong), used(pool), used(DedicatedConnections(pool))):
        with pytest.raises(BROKEN):
            await attempt
    good = Connections(tls.server.url(name_of(tls_database)), 1)
    assert await Standby(good, pool).row("select 1") is None
    await good.close()
    pipeline = Pipeline(wrong)
    pipeline.observe("select 1", 0)
    for _ in range(5):
        assert pipeline.ask("select 1", []) is None
        await asyncio.sleep(0.1)
    pipeline.close()
    notifications = Notifications(wrong, pulse=0.05)
    await notifications.start()
    assert not notifications.listening
    await notifications.stop()
    assert await tls.connections(name_of(tls_database)) == []


async def test_no_command_connects_to_another_server(
    tls: TlsServer, tls_database: str, wrong: str, tmp_path: Path
) -> None:
    file = tmp_path / "dump"
    file.write_bytes(b"PGDMP")
    commands = [
        ("db", "psql", "-c", "select 1"),
        ("psql", "-c", "select 1"),
        ("db", "backup", str(tmp_path / "written")),
        ("db", "restore", str(file)),
        ("db", "apply"),
        ("db", "seed", "--demo"),
        ("flags", "list"),
        ("check",),
        ("worker", "--once"),
        ("serve",),
    ]

    def run(arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return ecotrips(tmp_path, *arguments, DATABASE_URL=wrong, PORT=str(free_port()))

    with ThreadPoolExecutor(2) as threads:
        for arguments, ran in zip(commands, threads.map(run, commands), strict=True):
            assert ran.returncode != 0, arguments
            assert "certificate" in ran.stdout + ran.stderr or "SSL" in ran.stdout + ran.stderr, (arguments, ran)
    assert not (tmp_path / "written").exists()
    assert await tls.connections(name_of(tls_database)) == []


def test_the_standalone_server_serves_no_other_servers_data(wrong: str) -> None:
    given = {"PGRST_DB_URI": wrong, "PGRST_SERVER_PORT": str(free_port()), "PGRST_DB_POOL_ACQUISITION_TIMEOUT": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "src.rest.server.server"],
        env=environment(**given),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # In plain text a server may come to speak TLS: that is tried again and again.
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(3) == 1
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
        assert "certificate" in said or "SSL" in said


def program(folder: Path, name: str, major: int, *, with_tls: bool) -> None:
    """A program of that version, which says of TLS what real ones do."""
    folder.mkdir(parents=True, exist_ok=True)
    told = "connection failed" if with_tls else "SSL support is not compiled in"
    (folder / name).write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} (PostgreSQL) {major}.1 (x)" && exit\necho "{told}" >&2\n'
    )
    (folder / name).chmod(0o755)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PostgreSQL 14 and 16 of Debian's, and the wheel's 18 without TLS; the server is of 15."""
    for major, folder in ((14, "14/bin"), (16, "16/bin"), (18, "wheel")):
        for name in ("psql", "pg_dump", "pg_restore"):
            program(tmp_path / folder, name, major, with_tls=folder != "wheel")
    monkeypatch.setattr(clients, "INSTALLED", tmp_path)
    monkeypatch.setattr(clients, "binaries", lambda configured=None: Path(configured or tmp_path / "wheel"))
    monkeypatch.setattr(clients, "_server_major", lambda _dsn: asyncio.sleep(0, 15))
    return tmp_path


BY_TLS = "postgresql://a@db.example.org/d?sslrootcert=/a"


@pytest.mark.parametrize(
    ("name", "dsn", "environ", "expected"),
    [
        ("psql", BY_TLS, {}, "16/bin"),
        ("pg_dump", BY_TLS, {}, "16/bin"),
        ("pg_dump", "postgresql://a@localhost/d", {}, "16/bin"),
        ("pg_dump", "postgresql://a@localhost/d?sslmode=disable", {}, "wheel"),
        ("pg_dump", "postgresql:///d?host=/run", {}, "wheel"),
        ("psql", BY_TLS, {"POSTGRES_BIN": "14/bin"}, "14/bin"),
        ("pg_dump", BY_TLS, {"POSTGRES_BIN": "16/bin"}, "16/bin"),
        ("psql", "postgresql:///d", {"POSTGRES_BIN": "14/bin"}, "14/bin"),
        ("psql", "postgresql:///d", {"PGHOST": "localhost"}, "16/bin"),
    ],
)
def test_a_program_is_chosen_that_can_reach_the_server_and_is_no_older(
    installed: Path, name: str, dsn: str, environ: dict[str, str], expected: str
) -> None:
    given = {what: value if what == "PGHOST" else str(installed / value) for what, value in environ.items()}
    assert clients.client(name, dsn, {"PATH": "/nowhere", **given}).path == installed / expected / name


@pytest.mark.parametrize(("name", "folder"), [("psql", "wheel"), ("pg_dump", "wheel"), ("pg_restore", "14/bin")])
def test_what_is_missing_is_one_line_that_says_what_to_install(installed: Path, name: str, folder: str) -> None:
    given = {"PATH": "/nowhere", "POSTGRES_BIN": str(installed / folder)}
    with pytest.raises(ClientMissingError, match=f"no {name} here .*: install postgresql-client-15"):
        clients.client(name, BY_TLS, given)


def test_where_nothing_speaks_tls_and_it_is_not_demanded_plain_text_is_tried(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "INSTALLED", installed / "nothing")
    found = clients.client("pg_dump", "postgresql://a@localhost/d", {"PATH": "/nowhere"})
    assert found == (installed / "wheel" / "pg_dump", 18)
