"""What the service refuses to start with, and what it says."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import httpx
import jwt
import pytest

from src import cli
from src.commands import check_providers, local, serve
from src.settings import OFFLINE_SWITCHES
from tests.conftest import serving
from tests.fakes.wire import Reply, Request, listening
from tests.support.postgres import JWT_SECRET, Server, settings
from tests.support.processes import ecotrips, environment, server
from tests.support.runbook import paid


def test_a_server_process_holds_no_exporter_and_no_provider_that_it_does_not_use() -> None:
    heavy = {"opentelemetry.sdk", "opentelemetry.exporter", "stripe"}
    made = "from src.commands import serve; serve.application()"
    script = f"import sys; {made}; print({heavy} & sys.modules.keys())"
    env = environment(JWT_SECRET=JWT_SECRET, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True).stdout == b"set()\n"


def test_a_command_ends_without_taking_the_interpreter_down(tmp_path: Path) -> None:
    said = "import atexit; atexit.register(print, 'taken down'); import sys; sys.argv[1:] = ['token', 'anon']"
    env = environment(JWT_SECRET=JWT_SECRET, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    script = f"{said}; from src import cli; cli.main()"
    ran = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, check=True)
    assert ran.stdout.startswith(b"ey")
    assert b"taken down" not in ran.stdout


async def test_a_time_zone_that_the_database_does_not_know_is_said_at_the_start(
    database: str, admin: asyncpg.Connection
) -> None:
    """Which it knows depends on its own files, or on its system's."""
    assert await local.environment_fault(admin, settings(database)) is None
    unknown = settings(database, business_timezone="posix/Africa/Kigali")
    with pytest.raises(serve.NotReadyError, match=r"^BUSINESS_TIMEZONE: .* posix/Africa/Kigali;"):
        await serve.require_ready(unknown)


def test_what_processes_write_is_their_users_alone(database: str, tmp_path: Path) -> None:
    files = tmp_path / "files"
    key = jwt.encode({"role": "service_role"}, JWT_SECRET)
    before = os.umask(0o022)
    try:
        with server(database, tmp_path, STORAGE_URL=files.as_uri()) as started:
            sent = httpx.put(
                f"{started.address}/storage/v1/object/travellers/a/b.txt",
                content=b"x",
                headers={"Authorization": f"Bearer {key}", "apikey": key, "Content-Type": "text/plain"},
            )
            assert sent.status_code == 200, sent.text
    finally:
        os.umask(before)
    written = [files, *files.rglob("*")]
    assert any(path.is_file() for path in written)
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_a_command_before_the_first_apply_says_what_helps(tmp_path: Path) -> None:
    given = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": ""}
    assert ecotrips(tmp_path, "db", "start", **given).returncode == 0
    try:
        for command in ("psql", "psql --service", "flags list", "circuit show", "ledger verify"):
            ran = ecotrips(tmp_path, *command.split(), **given)
            assert ran.returncode == 1
            login = "psql_service" if "--service" in command else "psql_staff"
            assert ran.stderr == f'ecotrips: role "{login}" does not exist: run ecotrips db apply first\n'
        for command in ("db psql", "db backup file"):
            ran = ecotrips(tmp_path, *command.split(), **given)
            assert ran.returncode == 1
            assert ran.stderr.startswith('ecotrips: database "ecotrips" does not exist: run ecotrips db apply, ')
            assert len(ran.stderr.splitlines()) == 1
        assert ecotrips(tmp_path, "db", "apply", **given).returncode == 0
        assert ecotrips(tmp_path, "psql", "-Atc", "select session_user", **given).stdout == "psql_staff\n"
    finally:
        ecotrips(tmp_path, "db", "stop", **given)


@pytest.mark.usefixtures("template")  # the roles are the server's
async def test_an_unready_database_is_one_clear_line(server: Server, tmp_path: Path) -> None:
    empty = await server.create()
    ran = ecotrips(tmp_path, "serve", DATABASE_URL=empty)
    assert (ran.returncode, ran.stderr) == (1, "ecotrips: the database holds no SQL of ours: run ecotrips db apply\n")
    for command in (["serve"], ["ledger", "verify"]):
        ran = ecotrips(tmp_path, *command, DATABASE_URL="postgresql://nobody@/none?host=/nowhere")
        assert ran.returncode == 1
        assert ran.stderr.startswith("ecotrips: the database does not answer: ")
        assert len(ran.stderr.splitlines()) == 1
    await server.drop(empty)


async def test_check_says_what_is_well_and_what_is_not(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    well = ecotrips(tmp_path, "check", DATABASE_URL=database, **OFFLINE_SWITCHES)
    assert well.returncode == 0, well.stdout
    assert [line.split()[:2] for line in well.stdout.splitlines()] == [
        ["ok", "settings"],
        ["ok", "keys"],
        ["ok", "database"],
        ["ok", "clock"],
        ["ok", "sql"],
        ["ok", "logins"],
        ["ok", "prepared"],
        ["-", "seller"],
        ["-", "disk"],
        ["ok", "locks"],
        ["ok", "service"],
        ["ok", "backlog"],
        ["-", "worker"],
        ["ok", "circuit"],
        ["-", "erasures"],
        ["ok", "roles"],
        ["ok", "storage"],
        ["-", "stripe"],
        ["-", "hotelbeds"],
        ["-", "whatsapp"],
        ["all", "well"],
    ]
    await admin.execute("select fin.set_seller('Ours', 'Kigali', 'TIN 1', 'a@example.com', 'RW', 'VAT', 1800)")
    await admin.execute("select ops.fail_sweep('payouts', 'Unavailable') from ops.claim_sweep('payouts', 5)")
    await admin.execute(
        "update inventory.circuit set state = 'open', cooldown_until = now() + interval '1 minute' where name = 'hbx'"
    )
    await admin.execute(
        "insert into payment.webhook_events (id, type, signed, occurred_at, body)"
        " values ('evt_1', 'x', false, now() - interval '1 minute', '{}')"
    )
    ill = ecotrips(tmp_path, "check", DATABASE_URL=database, **OFFLINE_SWITCHES)
    assert ill.returncode == 1
    assert "ok   seller         Ours\n" in ill.stdout
    assert ill.stdout.splitlines()[-1] == "not well: service levels, worker, circuit"
    await admin.execute("update ops.sweeps set failures = 0, finished_at = now() - interval '1 hour'")
    alone = ecotrips(tmp_path, "check", DATABASE_URL=database, **OFFLINE_SWITCHES)
    assert alone.stdout.splitlines()[-1] == "not well: service levels, backlog, circuit"
    await admin.execute("update meta.applied set digest = 'x' where file = 'grants.sql'")
    assert "BAD  sql" in ecotrips(tmp_path, "check", DATABASE_URL=database, **OFFLINE_SWITCHES).stdout


async def test_check_asks_the_providers_that_are_live(database: str, tmp_path: Path) -> None:
    async def answer(request: Request) -> Reply:
        return Reply({"/v1/balance": 200, "/hotel-api/1.0/status": 403}.get(request.path, 503), {})

    async with listening(answer) as address:
        providers = {"STRIPE_API_BASE": address, "HBX_BASE_URL": address, "WA_GRAPH_BASE": address}
        live = {"STRIPE_SECRET_KEY": "k", "HBX_API_KEY": "k", "HBX_API_SECRET": "s", "WA_ACCESS_TOKEN": "k"}
        found = await asyncio.to_thread(ecotrips, tmp_path, "check", DATABASE_URL=database, **providers, **live)
    assert found.returncode == 1
    assert "ok   stripe         answers HTTP 200" in found.stdout
    assert "BAD  hotelbeds      refuses our key (HTTP 403" in found.stdout
    assert "BAD  whatsapp       answers HTTP 503" in found.stdout
    gone = ecotrips(tmp_path, "check", DATABASE_URL=database, **providers, STRIPE_SECRET_KEY="k")
    assert "BAD  stripe         does not answer: ConnectError" in gone.stdout
    assert "BAD  hotelbeds      HBX_API_KEY, HBX_API_SECRET are not set" in gone.stdout


async def test_check_misses_documents_that_another_host_keeps(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    place = f"file://{tmp_path}/one"
    async with serving(database, storage_url=place) as api:
        payment = (await paid(api))["payment_id"]
        made = await api.post("fin-invoice-generate", {"kind": "invoice", "payment_id": payment}, api.service)
        assert made.status_code == 200
    path = await admin.fetchval("select storage_path from fin.invoices where sha256 is not null")
    here = ecotrips(tmp_path, "check", DATABASE_URL=database, STORAGE_URL=place, **OFFLINE_SWITCHES)
    assert f"ok   storage        {place}\n" in here.stdout
    other = ecotrips(tmp_path, "check", DATABASE_URL=database, **OFFLINE_SWITCHES)
    missing = f"invoices/{path} is not there: if another host keeps it, all need one STORAGE_URL"
    assert f"BAD  storage        {missing}\n" in other.stdout
    assert other.returncode == 1


async def test_check_says_what_several_hosts_need(tmp_path: Path) -> None:
    given = settings("postgresql:///none", storage_url="", data_dir=tmp_path)
    found = await check_providers.storage(given, None, 2)
    assert found.well
    assert found.detail == "under DATA_DIR; the service runs at 2 addresses, and all need this very folder"
    assert (await check_providers.storage(given, None, 1)).detail == "under DATA_DIR"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: look at the disks of DATA_DIR"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "No space left on device: /data/x"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x"), "Disk quota exceeded: /data/x"),
    ],
)
def test_a_full_disk_is_one_clear_line(error: OSError, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_arguments: argparse.Namespace) -> int:
        raise error

    assert cli._run(argparse.Namespace(run=fail)) == 1  # noqa: SLF001 - main() ends the process
    assert capfd.readouterr().err.startswith(f"ecotrips: {said}")


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ],
)
def test_a_database_that_is_lost_is_one_clear_line(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    def lose(_arguments: argparse.Namespace) -> int:
        raise error

    assert cli._run(argparse.Namespace(run=lose)) == 1  # noqa: SLF001 - main() ends the process
    assert capfd.readouterr().err == f"ecotrips: the database does not answer: {error}\n"
