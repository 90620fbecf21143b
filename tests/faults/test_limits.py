"""Who sends too slowly, too much or too deeply, and more than the database takes: others are served meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from tests.conftest import ANON_KEY, OPS_USER
from tests.support.processes import TIMEOUT, server
from tests.support.races import blocked

pytestmark = pytest.mark.heavy
CHECKOUT = {"itinerary_id": OPS_USER, "amount_cents": 100, "currency": "USD"}
SLOW_CLIENTS = 300


async def slow_client(port: int) -> bytes:
    """Never ends its header; what it is told until it is hung up on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow:")
    told = await reader.read()
    writer.close()
    return told


async def status_of(port: int, request: bytes) -> bytes:
    """The status line, empty when the connection is reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return (await reader.readline()).strip()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_slow_clients_are_hung_up_on_and_nobody_waits_for_them(database: str, tmp_path: Path) -> None:
    with server(database, tmp_path) as running:
        port = urlsplit(running.address).port or 0
        patient = httpx.AsyncClient(base_url=running.address, timeout=TIMEOUT)
        async with asyncio.timeout(TIMEOUT), patient as client:
            slow = [asyncio.create_task(slow_client(port)) for _ in range(SLOW_CLIENTS)]
            assert (await client.get("/healthz")).status_code == 200
            large = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 2**20 + b"\r\n\r\n"
            assert b" 200 " not in await status_of(port, large)
            for path in ("/functions/v1/bff-checkout", "/rest/v1/rpc/search_places"):
                deep = await client.post(path, content=b'{"x":' * 100_000, headers={"apikey": ANON_KEY})
                assert deep.status_code == 400, deep.text
            assert (await client.get("/healthz")).status_code == 200
            assert not any(b" 200 " in told for told in await asyncio.gather(*slow))


async def test_more_than_the_database_takes_is_told_when_to_come_back(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    with server(database, tmp_path, DATABASE_POOL_SIZE="1") as running:
        headers = {"apikey": ANON_KEY}
        async with httpx.AsyncClient(base_url=running.address, headers=headers, timeout=TIMEOUT) as client:
            async with admin.transaction():
                await admin.execute("lock table payment.payments in access exclusive mode")
                refused = [
                    asyncio.create_task(client.post("/functions/v1/bff-checkout", json=CHECKOUT)) for _ in "1234567"
                ]
                await blocked(admin)
                assert (await client.get("/healthz")).status_code == 200
                # One waits for the lock until its role's time-out, the others for the one connection.
                for answer in await asyncio.gather(*refused):
                    assert (answer.status_code, answer.json()["code"]) == (503, "TRANSIENT_RETRY")
                    assert int(answer.headers["retry-after"]) >= 1
            assert (await client.post("/functions/v1/bff-checkout", json=CHECKOUT)).status_code == 200
