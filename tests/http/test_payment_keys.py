"""Nobody takes another's key: payments', refunds', and those of repeated requests."""

from __future__ import annotations

import hashlib
from ipaddress import ip_network
from typing import Any

import asyncpg
import httpx
import pytest

from src.domain.context import Role
from tests.conftest import CHECKOUT, ITINERARY, OPS_USER, TRAVELLER, Api, as_role, serving

DEFAULT = hashlib.sha256(f"{ITINERARY}:49200:USD".encode()).hexdigest()[:48]
REAL = {"itinerary_id": ITINERARY, "amount_cents": 49200, "currency": "USD"}
OTHER_ITINERARY = "11111111-1111-4111-8111-111111111112"


async def start(api: Api, way: str, body: dict[str, Any]) -> httpx.Response:
    if way == "bff-checkout":
        return await api.post(way, body)
    headers = api.ops if way == "ensure_payment_record" else api.anonymous
    arguments = {f"p_{name}": value for name, value in body.items()}
    return await api.http.post(f"/rest/v1/rpc/{way}", json=arguments, headers=headers)


async def pay(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = (await api.post("bff-checkout", body)).json()
    event = {
        "type": "payment_intent.succeeded",
        "data": {"payment_id": made["payment_id"], "payment_intent": made["payment_intent"]},
    }
    assert (await api.post("stripe-webhook", event)).json()["result"] == "applied"
    return made


@pytest.mark.parametrize("way", ["bff-checkout", "start_checkout", "ensure_payment_record"])
@pytest.mark.parametrize(
    ("key", "terms"),
    [
        (DEFAULT, {"amount_cents": 1}),
        (DEFAULT, {"currency": "EUR"}),
        (DEFAULT, {"itinerary_id": OTHER_ITINERARY}),
        (f" {DEFAULT}\t", {"amount_cents": 1}),
        ("0" * 48, {}),
        ("contribution:" + "0" * 48, {}),
        ("contribution:mine", {}),
    ],
)
async def test_a_key_that_we_derive_is_nobodys_choice(
    api: Api, admin: asyncpg.Connection, way: str, key: str, terms: dict[str, Any]
) -> None:
    taken = await start(api, way, REAL | terms | {"idempotency_key": key})
    assert taken.status_code == 400
    assert "has the form of a key that is derived" in taken.text
    assert await admin.fetchval("select count(*) from payment.payments") == 0
    real = await api.post("bff-checkout", REAL)
    assert (real.status_code, real.json()["idempotency"]) == (200, DEFAULT)


async def test_the_default_key_may_be_sent_with_its_own_terms(api: Api) -> None:
    first = await api.post("bff-checkout", REAL)
    again = await api.post("bff-checkout", REAL | {"currency": "usd", "idempotency_key": DEFAULT})
    assert first.json()["payment_id"] == again.json()["payment_id"]
    for free in (DEFAULT.upper(), DEFAULT[1:], DEFAULT + "0", "order-1"):
        assert (await api.post("bff-checkout", REAL | {"idempotency_key": free})).status_code == 200


async def test_a_payment_that_is_over_asks_for_a_key_of_its_own(api: Api, admin: asyncpg.Connection) -> None:
    paid = await pay(api, REAL)
    refund = {"payment_id": paid["payment_id"], "amount_cents": 200}
    assert (await api.post("payments-refund", refund, api.service)).status_code == 200
    assert (await api.post("bff-checkout", REAL)).json()["payment_id"] == paid["payment_id"]
    assert (await api.post("payments-refund", {"payment_id": paid["payment_id"]}, api.service)).status_code == 200
    voided = (await api.post("bff-checkout", CHECKOUT)).json()
    await admin.execute("update payment.payments set status = 'voided' where id = $1", voided["payment_id"])
    for body, status in ((REAL, "refunded"), (REAL | {"idempotency_key": DEFAULT}, "refunded"), (CHECKOUT, "voided")):
        answer = await api.post("bff-checkout", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "DATA_CONFLICT")
        assert answer.json()["error"] == f"The payment of these terms is {status}; send an idempotency_key to pay again"
    second = [(await api.post("bff-checkout", REAL | {"idempotency_key": "2"})).json()["payment_id"] for _ in "12"]
    assert second[0] == second[1] != paid["payment_id"]


async def test_refunds_of_others_have_keys_of_their_own(database: str, api: Api, admin: asyncpg.Connection) -> None:
    payment = (await pay(api, REAL))["payment_id"]
    key = "refund:escrow:1:2"
    by_service = "select request_refund($1, 100, 'why', $2) ->> 'refund_id'"
    by_ops = "select request_itinerary_refund($1, 100, 'why', $2) ->> 'refund_id'"
    async with as_role(database, Role.SERVICE) as service, as_role(database, Role.USER, OPS_USER) as ops:
        made = [
            await service.fetchval(by_service, payment, key),
            await service.fetchval(by_service, payment, f"payments-refund:service-role:{key}"),
            await ops.fetchval(by_ops, ITINERARY, key),
            await service.fetchval(by_ops, ITINERARY, key),
        ]
    assert len(set(made)) == 3
    assert made[0] == made[1]
    keys = await admin.fetch("select idempotency_key from payment.refunds order by 1")
    assert [row[0] for row in keys] == [
        f"ops-refund:{OPS_USER}:{key}",
        f"ops-refund:service-role:{key}",
        f"payments-refund:service-role:{key}",
    ]


async def test_anonymous_callers_do_not_share_keys(database: str) -> None:
    permit = {"park": "Akagera", "visit_date": "2099-01-01", "pax_count": 1}

    async def ask(api: Api, function: str, body: dict[str, Any], address: str) -> httpx.Response:
        return await api.post(function, body, api.anonymous | {"idempotency-key": "1", "x-forwarded-for": address})

    async with serving(database, trusted_proxies=(ip_network("127.0.0.1"),)) as api:
        mine = await ask(api, "permits-request", permit, "203.0.113.1")
        theirs = await ask(api, "permits-request", permit, "203.0.113.2")
        assert mine.json()["request_id"] != theirs.json()["request_id"]
        assert "idempotent-replayed" not in theirs.headers
        again = await ask(api, "permits-request", permit, "203.0.113.1")
        assert (again.content, again.headers["idempotent-replayed"]) == (mine.content, "true")
        # A checkout is repeated from wherever its payer is by then, and another trip's is another request.
        one = await ask(api, "bff-checkout", CHECKOUT, "203.0.113.1")
        moved = await ask(api, "bff-checkout", CHECKOUT, "198.51.100.1")
        assert (moved.content, moved.headers["idempotent-replayed"]) == (one.content, "true")
        camel = {"itineraryId" if name == "itinerary_id" else name: value for name, value in CHECKOUT.items()}
        assert (await ask(api, "bff-checkout", camel, "198.51.100.1")).status_code == 409
        for itinerary in (OTHER_ITINERARY, TRAVELLER):
            other = await ask(api, "bff-checkout", CHECKOUT | {"itinerary_id": itinerary}, "203.0.113.1")
            assert other.status_code == 200
        # Who names none is known by the address.
        assert (await ask(api, "bff-checkout", CHECKOUT | {"itinerary_id": "no"}, "203.0.113.3")).status_code == 400


async def test_what_is_kept_of_anonymous_callers_names_nobody(api: Api, admin: asyncpg.Connection) -> None:
    await api.post("search-places", {"query": "kigali"}, api.anonymous | {"idempotency-key": "1"})
    await api.post("bff-checkout", CHECKOUT, api.anonymous | {"idempotency-key": "1"})
    callers = {row[0] for row in await admin.fetch("select caller from ops.idempotency_keys")}
    assert f"anonymous:{ITINERARY}" in callers
    assert not any("127.0.0.1" in caller for caller in callers)
