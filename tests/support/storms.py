"""Clients that send more than a server can take, and try again until they are answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.conftest import ANON_KEY, ITINERARY
from tests.support.cluster import execute
from tests.support.processes import TIMEOUT

DOCUMENTED = {200, 503}
PAYMENTS = "select count(*) from payment.payments where intent_id is not null"
OPENED = "select count(*) from fin.entries where entry_type = 'intent_created'"
FAULTY = "select count(*) from fin.verify_ledger()"


@asynccontextmanager
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with httpx.AsyncClient(
        base_url=address, headers={"apikey": ANON_KEY}, limits=limits, timeout=TIMEOUT
    ) as made:
        yield made


async def checkout(http: httpx.AsyncClient, number: int) -> int:
    """The status, 0 when the connection broke."""
    body = {"itinerary_id": ITINERARY, "amount_cents": 100 + number, "currency": "USD", "idempotency_key": f"n{number}"}
    try:
        answer = await http.post("/functions/v1/bff-checkout", json=body)
    except httpx.TransportError:
        return 0
    if answer.status_code == 503:
        assert answer.json()["code"] == "TRANSIENT_RETRY"
        assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code


async def until_done(http: httpx.AsyncClient, numbers: range) -> Counter[int]:
    """Every checkout repeated until it succeeds, as a client does; how often each status was seen.

    A connection may break: the server hangs up on who is so busy that its request comes ten seconds after it connected.
    """
    seen: Counter[int] = Counter()
    left = set(numbers)
    async with asyncio.timeout(3 * TIMEOUT):
        while left:
            tried = sorted(left)
            asked = []
            for number in tried:
                asked.append(asyncio.create_task(checkout(http, number)))
                await asyncio.sleep(0)  # or all would connect before the first of them sends
            statuses = await asyncio.gather(*asked)
            seen.update(statuses)
            assert set(statuses) <= {0, *DOCUMENTED}, seen
            left = {number for number, status in zip(tried, statuses, strict=True) if status != 200}
            if left:
                await asyncio.sleep(0.3)
    return seen


async def is_alive(address: str) -> bool:
    """Asked by a process of its own: this one is too busy with the storm to measure anybody's patience."""
    asked = await asyncio.create_subprocess_exec("curl", "--silent", "--fail", "--max-time", "30", f"{address}/healthz")
    return await asked.wait() == 0


async def require_sound(dsn: str, payments: int) -> None:
    assert [await execute(dsn, question) for question in (PAYMENTS, OPENED, FAULTY)] == [payments, payments, 0]
