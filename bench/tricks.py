"""What the service does in a way of its own, against the usual way: `make bench-tricks` (docs/performance.md)."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import cast

import asyncpg
from litestar import Litestar
from litestar.types import HTTPRequestEvent, Scope

from bench import report, rest
from bench.cases import HOTELS
from bench.harness import Case, measure
from bench.load import Wrk
from bench.raw import program, serving_raw
from bench.stack import Stack, stack
from bench.variants import variant
from src.app import create
from src.database.connections import Connections
from src.http.application import Router
from src.settings import OFFLINE_SWITCHES
from tests.support.postgres import JWT_SECRET, settings

USES = 5_000
ROUNDS = 7
POOLED = "through the pool"
SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/healthz",
    "raw_path": b"/healthz",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
    "scheme": "http",
    "http_version": "1.1",
}


def reads(running: Stack) -> list[Case]:
    """Reads of `/rest/v1` on the pipeline, and by a service that has none, as behind a pooler."""
    return [
        Case(case.name, case.load, {POOLED: Wrk(case.load.path, case.load.headers, service="pooled")})
        for case in rest.cases(running)
        if isinstance(case.load, Wrk)
    ]


def hotels(running: Stack) -> Case:
    """A call with a body that asks no database, by the service and by one that sets a timer for each body."""
    call = Wrk("/functions/v1/inventory-search", running.key(), method="POST", body=HOTELS)
    return Case("inventory-search, cached", call, {"a timer each": replace(call, service="usual")})


async def of_pools(dsn: str) -> str:
    """A connection borrowed and given back: ours, and asyncpg's pool without its reset."""

    async def no_reset(_connection: object) -> None:
        pass

    async def using(acquire: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        async with acquire():
            pass

    own = Connections(dsn, 4)
    async with asyncpg.create_pool(dsn, min_size=4, max_size=4, reset=no_reset) as other:
        ours, usual = await _turns(lambda: using(own.acquire), lambda: using(other.acquire))
    await own.close()
    return f"A connection borrowed and given back: {ours:.1f} us, by asyncpg's pool without a reset {usual:.1f} us."


class Searching(Router):
    """The same router without its table."""

    __slots__ = ()

    def _at_once(self, _scope: Scope) -> None:
        return None


async def of_routes(dsn: str) -> str:
    """A call of an exact path: found in the table of registered routes, and by Litestar's own search."""

    async def receive() -> HTTPRequestEvent:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_event: object) -> None:
        pass

    async def call(application: Litestar) -> None:
        await application(cast("Scope", {**SCOPE, "state": {}}), receive, send)

    by_table, searched = create(settings(dsn)), create(settings(dsn))
    searched.asgi_router.__class__ = Searching
    ours, usual = await _turns(lambda: call(by_table), lambda: call(searched))
    return f"A call of a path that stands in the table of routes: {ours:.1f} us, by Litestar's search {usual:.1f} us."


async def _turns(ours: Callable[[], Awaitable[None]], usual: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The medians of both, in microseconds of processor time a use, measured in turns."""

    async def microseconds(use: Callable[[], Awaitable[None]]) -> float:
        began = time.process_time()
        for _ in range(USES):
            await use()
        return (time.process_time() - began) / USES * 1e6

    pairs = [(await microseconds(ours), await microseconds(usual)) for _ in range(ROUNDS)]
    return statistics.median(own for own, _ in pairs), statistics.median(other for _, other in pairs)


def main() -> None:
    with stack(10_000) as running:
        dsn = running.services["main"].settings.database_url
        said = [asyncio.run(of_pools(dsn)), asyncio.run(of_routes(dsn))]
        environment = {**OFFLINE_SWITCHES, "DATABASE_URL": dsn, "JWT_SECRET": JWT_SECRET}
        with (
            serving_raw(running),
            variant(running, "pooled", DATABASE_DIRECT_URL=dsn),
            program(running, "usual", "bench.usual", **environment),
        ):
            found = report.rows(measure(running, [hotels(running), *reads(running)], rounds=ROUNDS))
    print(report.table(found))
    print("\n".join(said))
    print(f"written: {report.save(found, 'tricks', notes=said)}")


if __name__ == "__main__":
    main()
