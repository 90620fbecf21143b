"""Two server processes on one database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import httpx

from src.domain.context import Role
from tests.conftest import ANON_KEY, OPS_USER, SERVICE_KEY, Api, as_role, token
from tests.support.processes import TIMEOUT, command, descendants, environment, free_port, server, wait_until_gone
from tests.support.races import blocked

ROUNDS = 10


def bookings(address: str, bearer: str) -> httpx.Response:
    headers = {"apikey": ANON_KEY, "authorization": f"Bearer {bearer}"}
    return httpx.get(f"{address}/functions/v1/ops-bookings", headers=headers, timeout=TIMEOUT)


async def test_the_next_request_of_each_process_obeys_a_switch(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    with server(database, tmp_path) as one, server(database, tmp_path) as two:
        async with as_role(database, Role.USER, OPS_USER) as ops:
            for number in range(ROUNDS):
                value, source = ("0", "view") if number % 2 == 0 else ("1", "fixtures")
                await ops.execute("select ops.set_flag('USE_FIXTURES', $1)", value)
                assert [bookings(each.address, SERVICE_KEY).json()["source"] for each in (one, two)] == [source] * 2
        assert bookings(one.address, token("authenticated", OPS_USER)).status_code == 200
    who = await admin.fetch("select distinct who, what from audit.events where what = 'flags.set'")
    assert [tuple(row) for row in who] == [(OPS_USER, "flags.set")]


async def test_a_stopped_server_finishes_what_it_began(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    body = {"itinerary_id": OPS_USER, "amount_cents": 100, "currency": "USD"}
    with server(database, tmp_path) as running:
        async with httpx.AsyncClient(base_url=running.address, headers=Api.anonymous, timeout=TIMEOUT) as client:
            async with admin.transaction():
                await admin.execute("lock table payment.payments in access exclusive mode")
                request = asyncio.create_task(client.post("/functions/v1/bff-checkout", json=body))
                await blocked(admin)
                running.process.terminate()
                await asyncio.sleep(0.3)
            assert (await request).status_code == 200
        assert running.process.wait(TIMEOUT) == 0


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    env = environment(PORT=str(free_port()))
    with command(tmp_path, "demo", ready="is ready on", env=env) as running:
        pids = list(descendants(running.process.pid))
        assert len(pids) >= 3, "a server process, a worker and PostgreSQL"
        running.process.kill()
        running.process.wait()
        wait_until_gone(*pids)
