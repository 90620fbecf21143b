"""`ecotrips rest` as a process: PostgREST's settings, tokens over HTTP, CORS, its administration port, reloading."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from bench.proc import processor_seconds
from tests.support.processes import ROOT, environment, free_port
from tests.support.standalone import Standalone, bearer, execute, is_ready, knows, standalone

# What it is made of, without which no server of it could start.
PARTS = "import asyncpg, granian.server, jwt, sqlglot, uvloop"


def test_the_statement_of_a_logged_request_is_logged(world_database: str, tmp_path: Path) -> None:
    with standalone(world_database, tmp_path, PGRST_LOG_LEVEL="warn", PGRST_LOG_QUERY="true") as served:
        served.http.get("/houses?select=name&id=eq.1")
        served.http.get("/houses?select=name&id=eq.one")
        served.wait(lambda: "id=eq.one" in served.output.read_text())
        assert served.output.read_text().count('FROM "zoo"."houses"') == 1


@pytest.fixture
def served(world_database: str, tmp_path: Path) -> Iterator[Standalone]:
    changes = {"PGRST_SERVER_TIMING_ENABLED": "true", "PGRST_SERVER_TRACE_HEADER": "X-Trace"}
    with standalone(world_database, tmp_path, PGRST_LOG_LEVEL="info", **changes) as served:
        yield served


def test_being_ready_costs_little_more_than_loading_its_parts(world_database: str, tmp_path: Path) -> None:
    """Seconds depend on the machine: bench/rest measures them."""
    began = processor_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", PARTS], cwd=ROOT, env=environment(), check=True)
    parts = processor_seconds(os.getpid()) - began
    with standalone(world_database, tmp_path) as served:
        assert served.http.get("/countries?select=id&id=eq.1").json() == [{"id": 1}]
        assert processor_seconds(served.pid) < 4 * parts


def test_roles_come_from_tokens(served: Standalone) -> None:
    visit = {"visitor": "x"}
    refused = served.http.post("/visits", json=visit)
    assert (refused.status_code, refused.json()["code"], refused.headers["www-authenticate"]) == (
        401,
        "42501",
        "Bearer",
    )
    assert served.http.post("/visits", json=visit, headers=bearer("keeper")).status_code == 201
    expired = served.http.get("/countries", headers=bearer("keeper", exp=1))
    assert (expired.status_code, expired.json()["code"]) == (401, "PGRST303")
    assert expired.headers["www-authenticate"] == 'Bearer error="invalid_token", error_description="JWT expired"'
    unknown = served.http.get("/countries", headers=bearer("nobody"))
    assert (unknown.status_code, unknown.json()["code"]) == (401, "22023")


def test_an_early_answer_reaches_who_still_sends(served: Standalone) -> None:
    for address, status in ((str(served.http.base_url), b"401"), (served.admin, b"404")):
        port = urlsplit(address).port or 0
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = "POST /visits HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x.y.z\r\ncontent-length: 3000000\r\n\r\n"
            connection.sendall(head.encode())
            for _ in range(30):
                connection.sendall(b"x" * 100_000)
                time.sleep(0.001)
            assert connection.recv(65536).split(b" ")[1] == status
            connection.sendall(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def test_cross_origin_requests(served: Standalone) -> None:
    asked = {
        "origin": "http://example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "Foo,Bar",
    }
    answer = served.http.options("/countries", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
    assert answer.headers["access-control-max-age"] == "86400"
    assert (
        answer.headers["access-control-allow-headers"]
        == "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language"
    )
    read = served.http.get("/countries", headers={"origin": "http://example.com"})
    assert "Content-Range" in read.headers["access-control-expose-headers"]


def test_only_configured_origins_may_read(world_database: str, tmp_path: Path) -> None:
    origins = {"PGRST_SERVER_CORS_ALLOWED_ORIGINS": "http://a.example, http://b.example"}
    with standalone(world_database, tmp_path, **origins) as served:
        allowed = served.http.get("/countries", headers={"origin": "http://b.example"})
        assert allowed.headers["access-control-allow-origin"] == "http://b.example"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        other = served.http.get("/countries", headers={"origin": "http://c.example"})
        assert "access-control-allow-origin" not in other.headers


def test_the_administration_port(served: Standalone) -> None:
    assert [httpx.get(f"{served.admin}/{path}").status_code for path in ("live", "ready", "none")] == [200, 200, 404]
    lines = httpx.get(f"{served.admin}/metrics").text.splitlines()
    metrics = [line for line in lines if not line.startswith("# HELP")]
    assert metrics[0] == "# TYPE pgrst_schema_cache_loads_total counter"
    assert metrics[1].startswith('pgrst_schema_cache_loads_total{status="SUCCESS"} ')
    assert metrics[2] == 'pgrst_schema_cache_loads_total{status="FAIL"} 0.0'
    assert {"# TYPE pgrst_db_pool_available gauge", "pgrst_db_pool_timeouts_total 0.0"} <= set(metrics)
    tables = httpx.get(f"{served.admin}/schema_cache").json()["tables"]
    assert {"schema": "zoo", "name": "countries"}.items() <= next(t for t in tables if t["name"] == "countries").items()


def test_timing_tracing_and_the_log(served: Standalone) -> None:
    answer = served.http.get("/countries?id=eq.1", headers={"x-trace": "abc"})
    assert answer.headers["x-trace"] == "abc"
    names = [lap.split(";dur=")[0] for lap in answer.headers["server-timing"].split(", ")]
    assert names == ["jwt", "parse", "plan", "transaction", "response"]
    served.wait(lambda: '"GET /countries?id=eq.1" 200' in served.output.read_text())


async def test_a_notification_reads_the_schema_again(served: Standalone, world_database: str) -> None:
    assert served.http.get("/fresh").json()["code"] == "PGRST205"
    await execute(world_database, "create table zoo.fresh (id int); notify pgrst, 'reload schema'")
    served.wait(lambda: served.http.get("/fresh").status_code == 200)


async def test_settings_kept_in_the_database(served: Standalone, world_database: str) -> None:
    database = urlsplit(world_database).path[1:]
    assert len(served.http.get("/animals").json()) == 6
    await execute(
        world_database,
        f"alter role gate in database \"{database}\" set pgrst.db_max_rows = 2; notify pgrst, 'reload config'",
    )
    served.wait(lambda: len(served.http.get("/animals").json()) == 2)


async def test_it_lives_through_a_lost_connection(served: Standalone, world_database: str) -> None:
    assert served.http.get("/countries").status_code == 200
    await execute(world_database, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gate'")
    served.wait(lambda: served.http.get("/countries").status_code == 200)
    await execute(world_database, "create table zoo.later (id int)")

    # The listening connection comes back by itself, and reads the schema again since it may have missed something.
    served.wait(lambda: served.http.get("/later").status_code == 200)


def figure(served: Standalone, name: str) -> float:
    lines = httpx.get(f"{served.admin}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


async def test_a_change_is_read_while_callers_have_all_connections(world_database: str, tmp_path: Path) -> None:
    await execute(
        world_database,
        "create function zoo.hold() returns void language sql as 'select pg_sleep(60)';"
        " grant execute on function zoo.hold to visitor",
    )
    with (
        standalone(world_database, tmp_path, PGRST_DB_POOL="1", PGRST_DB_POOL_ACQUISITION_TIMEOUT="1") as served,
        ThreadPoolExecutor(1) as thread,
    ):
        holding = thread.submit(served.http.post, "/rpc/hold", timeout=60)
        served.wait(lambda: figure(served, "pgrst_db_pool_available") == 0)
        await execute(world_database, "create table zoo.fresh (id int); notify pgrst")
        served.wait(lambda: knows(served, "fresh"))
        listens = "select pg_terminate_backend(pid) from pg_stat_activity where query ~ 'pg_listening_channels'"
        await execute(world_database, f"create table zoo.unheard (id int); {listens} and pid <> pg_backend_pid()")
        served.wait(lambda: knows(served, "unheard") and is_ready(served))
        assert figure(served, "pgrst_db_pool_available") == 0
        await execute(
            world_database, "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        )
        assert holding.result().status_code >= 500


async def test_it_is_not_ready_while_its_schema_is_older_than_a_known_change(
    served: Standalone, world_database: str
) -> None:
    assert is_ready(served)
    assert figure(served, "ecotrips_catalog_stale") == 0
    database = urlsplit(world_database).path[1:]
    await execute(world_database, f"alter role gate in database \"{database}\" set lock_timeout = '100ms'")
    await execute(world_database, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gate'")
    served.wait(lambda: is_ready(served))
    locker = await asyncpg.connect(world_database)
    async with locker.transaction():
        await locker.execute("lock table zoo.big_houses in access exclusive mode")
        await execute(world_database, "create table zoo.fresh (id int); notify pgrst")
        served.wait(lambda: figure(served, 'pgrst_schema_cache_loads_total{status="FAIL"}') > 1)
        assert not is_ready(served)
        assert figure(served, "ecotrips_catalog_stale") == 1
        # What is known is served.
        assert served.http.get("/countries?id=eq.1").status_code == 200
    await locker.close()
    served.wait(lambda: knows(served, "fresh") and is_ready(served))
    assert served.output.read_text().count("reading settings and schema failed and is tried again") == 1


async def test_it_is_not_ready_while_it_may_not_listen(served: Standalone, world_database: str) -> None:
    database = urlsplit(world_database).path[1:]
    await execute(world_database, f'revoke connect on database "{database}" from public')
    await execute(world_database, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gate'")
    served.wait(lambda: not is_ready(served))
    assert figure(served, "ecotrips_listening") == 0
    await execute(world_database, f'grant connect on database "{database}" to public')
    served.wait(lambda: is_ready(served))


async def test_stored_settings_that_cannot_be_read_are_tried_again(served: Standalone, world_database: str) -> None:
    database = urlsplit(world_database).path[1:]
    await execute(
        world_database,
        f"alter role gate in database \"{database}\" set pgrst.db_pre_config = 'zoo.later';"
        " create table zoo.fresh (id int); notify pgrst",
    )
    served.wait(lambda: knows(served, "fresh"))
    await execute(world_database, "notify pgrst")
    served.wait(lambda: not is_ready(served))
    await execute(
        world_database,
        "create function zoo.later() returns void language sql as"
        " $$ select set_config('pgrst.db_max_rows', '2', true) $$; grant usage on schema zoo to gate",
    )
    # Without another notification.
    served.wait(lambda: is_ready(served))
    assert len(served.http.get("/animals").json()) == 2


async def test_stored_settings_that_are_wrong_are_not_used_and_not_read_for_ever(
    served: Standalone, world_database: str
) -> None:
    database = urlsplit(world_database).path[1:]
    await execute(
        world_database,
        f"alter role gate in database \"{database}\" set pgrst.db_max_rows = 'many';"
        f" alter role gate in database \"{database}\" set pgrst.db_schemas = 'hidden';"
        " create table zoo.fresh (id int); notify pgrst",
    )
    served.wait(lambda: knows(served, "fresh") and is_ready(served))
    assert "db-max-rows must be a whole number" in served.output.read_text()
    assert len(served.http.get("/animals").json()) == 6


async def test_a_signal_reads_again_where_nothing_is_listened_to(world_database: str, tmp_path: Path) -> None:
    with standalone(world_database, tmp_path, PGRST_DB_CHANNEL_ENABLED="false") as served:
        assert is_ready(served)
        await execute(world_database, "create table zoo.fresh (id int)")
        os.kill(served.pid, signal.SIGUSR1)
        served.wait(lambda: knows(served, "fresh"))
        assert is_ready(served)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"PGRST_JWT_SECRET": "short"}, "The JWT secret must be at least 32 characters long."),
        ({"PGUSER": "no_such_role"}, 'role "no_such_role" does not exist'),
    ],
)
def test_a_wrong_setting_ends_it_with_its_name(world_database: str, wrong: dict[str, str], told: str) -> None:
    settings = {"PGRST_DB_URI": world_database.replace("//postgres@", "//", 1), **wrong}
    ended = subprocess.run(
        [sys.executable, "-m", "src.rest.server.server"],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert told in ended.stderr.decode()


def test_a_socket_that_a_killed_server_left_is_taken_over(world_database: str, tmp_path: Path) -> None:
    path = tmp_path / "rest.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    changes = {"PGRST_SERVER_UNIX_SOCKET": str(path), "PGRST_SERVER_UNIX_SOCKET_MODE": "600"}
    with (
        standalone(world_database, tmp_path, **changes) as served,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://zoo") as http,
    ):
        served.wait(path.exists)
        assert http.get("/countries?select=id&id=eq.1").json() == [{"id": 1}]
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_busy_port_is_one_clear_line(world_database: str) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        settings = {"PGRST_DB_URI": world_database, "PGRST_SERVER_HOST": "127.0.0.1", "PGRST_SERVER_PORT": port}
        ended = subprocess.run(
            [sys.executable, "-m", "src.cli", "rest"],
            cwd=ROOT,
            env=environment(**settings),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"ecotrips: cannot listen on http://127.0.0.1:{port}")
    assert ended.stderr.count("\n") == 1


def test_it_starts_without_its_database_and_says_so(tmp_path: Path) -> None:
    dsn = f"postgresql://gate@127.0.0.1:{free_port()}/none"
    with standalone(dsn, tmp_path, PGRST_DB_POOL_ACQUISITION_TIMEOUT="1") as served:
        answer = served.http.get("/countries")
        assert (answer.status_code, answer.json()["code"]) == (503, "PGRST002")
        assert httpx.get(f"{served.admin}/ready").status_code == 503
