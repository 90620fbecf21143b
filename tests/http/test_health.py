"""Health, readiness and the page of documentation."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
from litestar.routes import HTTPRoute

from src.database import apply
from src.logins import login_dsn
from tests.conftest import CHECKOUT, Api, serving
from tests.support.postgres import Server, settings
from tests.support.races import until
from tests.support.readiness import has_wrong

DIFFERS = "differs from this release: run ecotrips db apply"


async def test_a_functions_health_needs_no_key(api: Api) -> None:
    before = datetime.now(UTC)
    answer = await api.http.get("/functions/v1/bff-checkout/health")
    body = answer.json()
    assert (answer.status_code, body["ok"], body["fn"]) == (200, True, "bff-checkout")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["time"])
    # It counts in whole milliseconds.
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(body["time"]) <= datetime.now(UTC)


async def test_who_may_get_may_ask_for_the_head_alone(api: Api) -> None:
    readable = {
        route.path_format for route in api.app.routes if isinstance(route, HTTPRoute) and "GET" in route.methods
    }
    assert {"/", "/docs", "/healthz", "/readyz", "/schema", "/metrics", "/functions/v1/{fn}/health"} <= readable
    for path in (path.format(fn="bff-checkout", bucket="invoices", path="x") for path in readable):
        got, head = await api.http.get(path), await api.http.head(path)
        assert head.status_code == got.status_code, path
        assert head.headers["content-type"] == got.headers["content-type"], path
        assert (head.content, int(head.headers["content-length"]) > 0) == (b"", bool(got.content)), path


async def test_the_first_page_leads_to_the_documentation(api: Api) -> None:
    answer = await api.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


async def test_an_unknown_function_has_no_health(api: Api) -> None:
    assert (await api.http.get("/functions/v1/nothing/health")).status_code == 404


async def test_the_service_is_ready_and_says_which_switches_are_on(api: Api) -> None:
    answer = await api.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "parts": {"database": "ok", "sql": "ok", "notifications": "ok", "catalog": "ok"},
        "switches": {
            "USE_FIXTURES": "1",
            "INVENTORY_OFFLINE": "1",
            "WA_OFFLINE": "1",
            "STRIPE_MOCK_MODE": "1",
            "OPS_REFUND_MODE": "mock",
            "PAYOUTS_PAUSED": "0",
            "ESCROW_REFUNDS_PAUSED": "0",
        },
    }


async def test_a_server_is_ready_until_the_release_after_the_next(api: Api, admin: asyncpg.Connection) -> None:
    """While the next one is applied, and after that, until it is replaced."""
    await admin.execute("update meta.applied set digest = 'x' where file = 'grants.sql'")
    assert await has_wrong(api, {})
    await admin.execute(apply.RECORD)
    assert await has_wrong(api, {})
    await admin.execute("insert into meta.releases (digest) values ('later')")
    assert await has_wrong(api, {"sql": DIFFERS})


async def test_other_sql_than_shipped_is_not_ready(api: Api, admin: asyncpg.Connection) -> None:
    await admin.execute("update meta.applied set digest = 'x' where file = 'grants.sql'; delete from meta.releases")
    answer = await api.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {
        "database": "ok",
        "sql": DIFFERS,
        "notifications": "ok",
        "catalog": "ok",
    }


async def gauge(api: Api, name: str) -> float:
    lines = (await api.http.get("/metrics", headers=api.service)).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_schema_older_than_a_known_change_is_not_ready(
    api: Api, admin: asyncpg.Connection, database: str
) -> None:
    other = await asyncpg.connect(database)
    async with admin.transaction():
        # Whoever reads what may be written to a view waits for it.
        await admin.execute("lock table ops.v_bookings in access exclusive mode")
        await other.execute("notify pgrst")
        await until(lambda: has_wrong(api, {"catalog": "older than a known change"}))
        assert await gauge(api, "ecotrips_catalog_stale") == 1
    await other.close()
    await until(lambda: has_wrong(api, {}))
    assert await gauge(api, "ecotrips_catalog_stale") == 0


async def test_notifications_that_never_end_do_not_make_it_unready(
    api: Api, admin: asyncpg.Connection, database: str
) -> None:
    staff = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
    ended = asyncio.Event()

    async def storm() -> None:
        while not ended.is_set():
            await staff.execute("notify pgrst; select pg_sleep(0.02)")

    storming = asyncio.create_task(storm())
    try:
        for _ in range(40):
            assert await has_wrong(api, {})
            await asyncio.sleep(0.1)
        # Changes are heard of all the same.
        await admin.execute(
            "set role ecotrips_owner; create view ops.v_new as select 1 as one;"
            " grant select on ops.v_new to anon; reset role"
        )
        await until(lambda: knows(api, "ops.v_new"))
        async with admin.transaction():
            await admin.execute("lock table ops.v_bookings in access exclusive mode")
            await until(lambda: has_wrong(api, {"catalog": "older than a known change"}))
        await until(lambda: has_wrong(api, {}))
    finally:
        ended.set()
        await storming
        await staff.close()


async def knows(api: Api, view: str) -> bool:
    return (await api.http.get(f"/rest/v1/{view}", headers=api.anonymous)).status_code == 200


async def test_a_service_that_may_not_listen_is_not_ready(api: Api, admin: asyncpg.Connection, database: str) -> None:
    # Connections that are open stay so.
    assert await has_wrong(api, {})
    name = urlsplit(database).path[1:]
    await admin.execute(f'revoke connect on database "{name}" from public')
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and query ~ 'pg_listening_channels' and pid <> pg_backend_pid()"
    )
    await until(lambda: has_wrong(api, {"notifications": "nobody listens"}))
    assert await gauge(api, "ecotrips_listening") == 0
    await admin.execute(f'grant connect on database "{name}" to public')
    await until(lambda: has_wrong(api, {}))


async def test_a_database_that_lets_nobody_in_is_not_ready(api: Api, admin: asyncpg.Connection, database: str) -> None:
    name = urlsplit(database).path[1:]
    await admin.execute(f'revoke connect on database "{name}" from public')
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    await until(lambda: has_wrong(api, {"database": "unreachable"}))
    await admin.execute(f'grant connect on database "{name}" to public')
    await until(lambda: has_wrong(api, {}))


async def test_a_database_without_our_sql_is_not_ready(server: Server) -> None:
    dsn = await server.create()
    async with serving(dsn) as api:
        answer = await api.http.get("/readyz")
        assert answer.status_code == 503
    await server.drop(dsn)


async def test_without_a_database_the_process_is_alive_but_not_ready() -> None:
    async with serving("postgresql://postgres@127.0.0.1:9/none") as api:
        assert (await api.http.get("/healthz")).status_code == 200
        ready = await api.http.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]) == (503, {"database": "unreachable"})
        fixtures = await api.get("ops-bookings")
        assert fixtures.status_code == 200
        checkout = await api.post("bff-checkout", CHECKOUT)
        assert (checkout.status_code, checkout.json()["code"]) == (503, "TRANSIENT_RETRY")
        assert checkout.headers["retry-after"] == "1"
