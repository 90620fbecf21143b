"""Callers share a role's connections, never each other's claims: each request is its own caller from start to end."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg

from tests.conftest import OPS_USER, Api

CALLERS = 64
ROUNDS = 4


async def test_concurrent_callers_never_see_each_others_rows(api: Api, admin: asyncpg.Connection) -> None:
    await admin.execute("delete from booking.itineraries")
    owners = [str(UUID(int=number + 1)) for number in range(CALLERS)]
    await admin.executemany(
        "insert into booking.itineraries (user_id, currency, total_cents) values ($1, 'USD', 1)", [(o,) for o in owners]
    )
    seen = ended_early = 0
    answered = asyncio.Event()

    async def user(owner: str) -> None:
        nonlocal seen
        path = "/rest/v1/booking.itineraries?select=user_id"
        for turn in range(ROUNDS):
            in_transaction = {"prefer": "timezone=UTC"} if turn % 2 else {}
            answer = await api.http.get(path, headers={**api.user(owner), **in_transaction})
            assert answer.json() == [{"user_id": owner}]
            seen += 1
            answered.set()
            failed = await api.http.get(f"{path}&id=eq.not-a-uuid", headers=api.user(owner))
            assert (failed.status_code, failed.json()["code"]) == (400, "22P02")

    async def other(headers: dict[str, str], status: int, rows: int) -> None:
        for _ in range(ROUNDS):
            answer = await api.http.get("/rest/v1/booking.itineraries?select=id", headers=headers)
            assert (answer.status_code, len(answer.json()) if rows else 0) == (status, rows)

    async def cancelled(owner: str) -> None:
        nonlocal ended_early
        request = api.http.get("/rest/v1/booking.itineraries?select=id,user_id&limit=1", headers=api.user(owner))
        task = asyncio.create_task(request)
        await answered.wait()
        task.cancel()
        await asyncio.wait([task])
        ended_early += task.cancelled()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number, owner in enumerate(owners):
            kind = number % 4
            if kind == 0:
                group.create_task(other(api.service, 200, CALLERS))
            elif kind == 1:
                group.create_task(other(api.anonymous, 401, 0))
                group.create_task(cancelled(owner))
            elif kind == 2 and number % 8 == 2:
                group.create_task(other(api.user(OPS_USER), 200, CALLERS))
            else:
                group.create_task(user(owner))
    assert seen >= CALLERS // 4 * ROUNDS
    assert ended_early
