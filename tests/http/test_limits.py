"""One minute of calls for each endpoint and caller, whichever way the endpoint's function is called."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import asyncpg
import httpx
import pytest

from src.http.call import Access
from src.http.endpoint import Endpoint
from src.http.limits import by_function
from tests.conftest import CHECKOUT, OPS_USER, TRAVELLER, Api, serving
from tests.support.endpoints import declared

ARGUMENTS = {f"p_{name}": value for name, value in CHECKOUT.items()}
CALLS: dict[str, Callable[[Api], dict[str, Any]]] = {
    "plain": lambda api: {"url": "/rest/v1/rpc/start_checkout", "headers": api.anonymous},
    "dotted": lambda api: {"url": "/rest/v1/rpc/public.start_checkout", "headers": api.anonymous},
    "profile": lambda api: {
        "url": "/rest/v1/rpc/start_checkout",
        "headers": api.anonymous | {"content-profile": "public"},
    },
    "singular": lambda api: {
        "url": "/rest/v1/rpc/start_checkout?select=payment_id",
        "headers": api.anonymous | {"prefer": "tx=rollback", "accept": "application/vnd.pgrst.object+json"},
    },
    "escaped": lambda api: {"url": "/rest/v1/%72pc/start%5Fcheckout", "headers": api.anonymous},
    "malformed": lambda api: {"url": "/rest/v1/rpc/start_checkout", "headers": api.anonymous, "content": b"{"},
}


async def rpc(api: Api, function: str, arguments: object, headers: dict[str, str] | None = None) -> httpx.Response:
    return await api.http.post(f"/rest/v1/rpc/{function}", json=arguments, headers=headers or api.anonymous)


@pytest.mark.parametrize("way", CALLS)
async def test_an_endpoint_and_its_function_share_a_minute(database: str, way: str) -> None:
    async with serving(database, rate_limits=True) as api:
        for _ in range(2):
            assert (await api.post("bff-checkout", CHECKOUT)).status_code == 200
            sent = {"content": None, "json": ARGUMENTS} | CALLS[way](api)
            assert (await api.http.post(**sent)).status_code in (200, 400)
        refused = await api.http.post(**{"json": ARGUMENTS} | CALLS[way](api))
        assert refused.status_code == 429
        assert refused.json() == {
            "code": "PT429",
            "message": f"Too many calls of bff-checkout; wait {refused.headers['retry-after']} s",
            "details": None,
            "hint": None,
        }
        assert 1 <= int(refused.headers["retry-after"]) <= 15
        assert (await api.post("bff-checkout", CHECKOUT)).status_code == 429
        assert (await rpc(api, "start_checkout", ARGUMENTS, api.user())).status_code == 200


async def test_reading_and_asking_for_heads_counts_for_a_function_of_an_endpoint(database: str) -> None:
    async with serving(database, rate_limits=True) as api:
        for method in ("GET", "HEAD", "QUERY") * 4:
            await api.http.request(method, "/rest/v1/rpc/locate_place?p_name=kigali", headers=api.anonymous)
        answer = await api.http.get("/rest/v1/rpc/locate_place?p_name=kigali", headers=api.anonymous)
        assert answer.status_code == 429
        described = await api.http.options("/rest/v1/rpc/locate_place?p_name=kigali", headers=api.anonymous)
        assert described.status_code == 200


async def test_a_function_of_no_endpoint_has_a_limit_for_all_but_the_service(
    database: str, admin: asyncpg.Connection
) -> None:
    group = {"p_group_id": OPS_USER, "p_status": "locked"}
    async with serving(database, rate_limits=True) as api:
        for function in ("set_group_status", "nosuch"):
            assert (await rpc(api, function, group, api.user())).status_code in (403, 404)
        # The minute is used up, and no time goes by.
        await admin.execute("update ops.rate_limits set tokens = 0, refilled_at = now() + interval '1 hour'")
        assert (await rpc(api, "set_group_status", group, api.user())).status_code == 429
        assert (await rpc(api, f"nosuch{TRAVELLER}", {}, api.user())).status_code == 429
        assert (await rpc(api, "set_group_status", group, api.user(OPS_USER))).status_code == 404
        assert (await api.http.get("/rest/v1/rpc/privacy_get_datamap", headers=api.user())).status_code == 403
        assert (await rpc(api, "retry_webhook_events", {}, api.service)).status_code == 200
        buckets = await admin.fetch("select function, caller from ops.rate_limits order by caller")
        assert [tuple(row) for row in buckets] == [("rpc", OPS_USER), ("rpc", TRAVELLER)]


async def test_a_limit_is_taken_before_the_body_is_looked_at(database: str) -> None:
    async with serving(database, rate_limits=True) as api:
        headers = api.anonymous | {"content-type": "nonsense"}
        statuses = [
            (await api.http.post("/rest/v1/rpc/create_permit_request", content=b"{", headers=headers)).status_code
            for _ in range(6)
        ]
        assert 429 not in statuses[:5]
        assert statuses[5] == 429


async def test_who_was_refused_does_not_reach_the_database_again_until_then(
    database: str, admin: asyncpg.Connection
) -> None:
    async with serving(database, rate_limits=True) as api:
        assert (await api.post("bff-checkout", CHECKOUT)).status_code == 200
        await admin.execute("update ops.rate_limits set tokens = 0, refilled_at = now()")
        told = int((await api.post("bff-checkout", CHECKOUT)).headers["retry-after"])
        kept = await admin.fetchval("select ctid::text from ops.rate_limits")
        for asked in (api.post("bff-checkout", CHECKOUT), rpc(api, "start_checkout", ARGUMENTS)):
            answer = await asked
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= told
        assert await admin.fetchval("select ctid::text from ops.rate_limits") == kept
        assert (await api.post("bff-checkout", CHECKOUT, api.user())).status_code == 200


async def test_without_the_switch_nobody_is_limited(api: Api) -> None:
    assert {(await rpc(api, "start_checkout", ARGUMENTS)).status_code for _ in range(8)} == {200}


async def test_callers_behind_a_proxy_are_apart_if_it_is_trusted(database: str, admin: asyncpg.Connection) -> None:
    async def statuses(api: Api) -> list[int]:
        callers = (f"203.0.113.{number}, 127.0.0.1" for number in range(6))
        return [
            (await api.post("bff-checkout", CHECKOUT, api.anonymous | {"x-forwarded-for": caller})).status_code
            for caller in callers
        ]

    async with serving(database, rate_limits=True, trusted_proxies=(ip_network("127.0.0.0/8"),)) as api:
        assert await statuses(api) == [200] * 6
        through_rpc = api.anonymous | {"x-forwarded-for": "203.0.113.1"}
        answers = [(await rpc(api, "start_checkout", ARGUMENTS, through_rpc)).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]
        kept = await admin.fetch("select caller from ops.rate_limits")
        assert not any("203.0.113" in row["caller"] for row in kept)
        await admin.execute("truncate ops.rate_limits")
    async with serving(database, rate_limits=True) as api:
        assert await statuses(api) == [200] * 4 + [429] * 2


async def test_when_the_database_is_away_a_limited_function_says_when_to_come_back(database: str) -> None:
    async with serving(database, rate_limits=True, database_url="postgresql://x:x@127.0.0.1:9/x") as api:
        answer = await rpc(api, "start_checkout", ARGUMENTS)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_no_function_belongs_to_two_endpoints() -> None:
    endpoints = declared()
    checkout = by_function(endpoints)["public.start_checkout"]
    other = Endpoint("other", audit="other", functions=checkout.functions)
    with pytest.raises(ValueError, match=r"public\.start_checkout is a function of bff-checkout and of other"):
        by_function([*endpoints, other])


def test_whoever_may_call_calls_so_often_and_no_oftener() -> None:
    """All but what the service alone calls: whoever else calls without end fills the disk."""
    unlimited = [endpoint for endpoint in declared() if endpoint.per_minute is None]
    assert {endpoint.access for endpoint in unlimited} == {Access.SERVICE}


async def test_what_had_no_limit_has_one(database: str) -> None:
    async with serving(database, rate_limits=True) as api:
        statuses = [(await api.post("groups-create", {"name": "x"}, api.user(OPS_USER))).status_code for _ in range(61)]
        assert statuses == [200] * 60 + [429]
