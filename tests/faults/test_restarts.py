"""The database goes and comes back: what was changed meanwhile is known to a server that runs on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import serving
from tests.rest.http.conftest import ROLES, WORLD
from tests.support.cluster import server, start_again
from tests.support.postgres import Server, make_template
from tests.support.races import until
from tests.support.readiness import has_wrong
from tests.support.standalone import execute, is_ready, knows, standalone


async def test_the_service_knows_what_a_restarted_database_holds(caplog: pytest.LogCaptureFixture) -> None:
    with server() as own:
        dsn = own.url(make_template(Server(own.url("postgres"))))
        async with serving(dsn) as api:
            await until(lambda: has_wrong(api, {}))
            assert (await api.http.get("/rest/v1/permits.fresh", headers=api.service)).status_code == 404
            own.stop()
            await until(lambda: has_wrong(api, {"database": "unreachable"}))
            start_again(own)
            await execute(dsn, "create table permits.fresh (id int); grant select on permits.fresh to service_role")
            await until(lambda: has_wrong(api, {}))
            assert (await api.http.get("/rest/v1/permits.fresh", headers=api.service)).status_code == 200
            while not caplog.text.endswith("well again\n"):
                await asyncio.sleep(0.05)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("src.")]
    assert told == [("WARNING", "the listener waits for the database"), ("WARNING", "the listener is well again")]


async def test_the_standalone_server_knows_what_a_restarted_database_holds(tmp_path: Path) -> None:
    with server() as own:
        await execute(own.url("postgres"), "create database zoo")
        dsn = own.url("zoo")
        await execute(dsn, ROLES + WORLD.read_text())
        with standalone(dsn, tmp_path, PGRST_DB_POOL_ACQUISITION_TIMEOUT="1") as served:
            assert is_ready(served)
            own.stop()
            served.wait(lambda: not is_ready(served))
            start_again(own)
            await execute(dsn, "create table zoo.fresh (id int)")
            served.wait(lambda: is_ready(served))
            assert knows(served, "fresh")
