"""What older clients of this system probe (docs/api.md, Small services), and their spelling of fields."""

from __future__ import annotations

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, OPS_USER, TRAVELLER, Api, as_role, token


async def test_a_quote_adds_up_its_items(api: Api) -> None:
    items = [{"price_cents": 12000, "quantity": 2, "description": "Lodge"}, {"price_cents": 500, "currency": "usd"}]
    quote = (await api.post("bff-quote", {"items": items})).json()["quote"]
    assert (quote["total_cents"], quote["currency"]) == (24500, "USD")
    assert quote["items"] == [
        {"price_cents": 12000, "quantity": 2, "currency": "USD", "total_cents": 24000, "description": "Lodge"},
        {"price_cents": 500, "quantity": 1, "currency": "USD", "total_cents": 500},
    ]


async def test_a_quote_names_every_fault_of_every_item(api: Api) -> None:
    answer = await api.post("bff-quote", {"items": [{"price_cents": -1}, 5, {"price_cents": 1, "currency": "X"}]})
    assert answer.json()["errors"] == [
        "items[0].price_cents must be an integer from 0 to 1000000000000",
        "items[1] must be an object",
        "items[2].currency must be USD|EUR|RWF",
    ]
    assert (await api.post("bff-quote", {"items": []})).json()["error"] == "items must be a list of 1 to 100"


async def test_a_quote_converts_no_currency(api: Api) -> None:
    items = [{"price_cents": 1, "currency": "USD"}, {"price_cents": 1, "currency": "RWF"}]
    answer = await api.post("bff-quote", {"items": items})
    assert answer.json()["error"] == "items must share one currency, not RWF, USD"


async def test_counters_count_for_the_service_only(api: Api) -> None:
    assert (await api.post("metrics-incr", {"name": "a"})).status_code == 401
    assert (await api.post("metrics-incr", {"name": "a"}, api.ops)).status_code == 403
    await api.post("metrics-incr", {"name": "a"}, api.service)
    answer = await api.post("metrics-incr", {"name": "a", "delta": 5}, api.service)
    assert answer.json()["counter"] == {"name": "a", "count": 6}


async def test_the_probe_asks_every_function(api: Api) -> None:
    answer = await api.get("synthetics-probe", api.service)
    body = answer.json()
    assert (answer.status_code, body["ok"], body["fail_count"], body["availability"]) == (200, True, 0, 1.0)
    asked = {result["fn"] for result in body["results"]}
    assert {"ops-bookings", "bff-checkout", "ops-bookings:read"} <= asked
    assert body["ok_count"] == len(body["results"])
    assert (await api.get("synthetics-probe")).status_code == 401


async def test_a_users_token_says_who_it_speaks_for(api: Api) -> None:
    answer = await api.http.get("/auth/v1/user", headers=api.user())
    assert answer.json() == {"id": TRAVELLER, "role": "authenticated"}
    bearer = token("authenticated", TRAVELLER, email="amina@ecotrips.example")
    answer = await api.http.get("/auth/v1/user", headers={"authorization": f"Bearer {bearer}"})
    assert answer.json()["email"] == "amina@ecotrips.example"
    assert (await api.http.get("/auth/v1/user", headers=api.anonymous)).status_code == 401
    assert (await api.http.get("/auth/v1/user")).status_code == 401
    refused = await api.http.post("/auth/v1/user", headers=api.user())
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_camel_case_is_understood_everywhere(api: Api) -> None:
    body = {"itineraryId": ITINERARY, "amountCents": 25000, "currency": "USD", "idempotencyKey": "k"}
    answer = await api.post("bff-checkout", body)
    assert answer.json()["idempotency"] == "k"
    nested = await api.post("bff-quote", {"items": [{"priceCents": 7}]})
    assert nested.json()["quote"]["total_cents"] == 7
    assert (await api.get("ops-bookings", pageSize=3)).json()["page_size"] == 3
    both = await api.post("bff-checkout", body | {"amount_cents": 1})
    assert both.json()["error"] == "amount_cents is given twice"


async def test_supplier_service_levels_are_for_ops(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "insert into booking.itineraries (status, currency, total_cents, primary_supplier, created_at)"
        " values ('pending', 'USD', 1, 'HBX', now() - interval '25 hours')"
    )
    async with as_role(database, Role.USER, OPS_USER) as connection:
        rows = await connection.fetch("select * from ops.v_supplier_slas order by supplier")
    shown = {row["supplier"]: row for row in rows}
    assert set(shown) == {"HBX", "NYUNGWE-LODGES", "AKAGERA-CAMPS", "KIVU-BOATS"}
    assert shown["HBX"]["breach_state"] == "breached"
    assert shown["HBX"]["last_breach_at"] is not None
    assert float(shown["HBX"]["avg_confirmation_hours"]) > 0
    async with as_role(database, Role.USER, TRAVELLER) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Only ops"):
            await connection.fetch("select * from ops.v_supplier_slas")
