"""A repeated request with an Idempotency-Key gets the first answer again."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.conftest import CHECKOUT, OTHER_TRAVELLER, TRAVELLER, Api, serving
from tests.support.races import blocked


async def test_the_first_answer_comes_again(api: Api) -> None:
    first = await api.post("bff-checkout", CHECKOUT, api.anonymous | {"idempotency-key": "k1"})
    again = await api.post("bff-checkout", CHECKOUT, api.anonymous | {"idempotency-key": "k1"})
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)


async def test_another_body_under_the_same_key_is_a_conflict(api: Api) -> None:
    await api.post("bff-checkout", CHECKOUT, api.anonymous | {"idempotency-key": "k1"})
    answer = await api.post("bff-checkout", CHECKOUT | {"amount_cents": 1}, api.anonymous | {"idempotency-key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "DATA_CONFLICT")


async def test_another_function_under_the_same_key_is_a_conflict(api: Api) -> None:
    await api.post("bff-checkout", CHECKOUT, api.anonymous | {"idempotency-key": "k1"})
    answer = await api.post("stripe-webhook", CHECKOUT, api.anonymous | {"idempotency-key": "k1"})
    assert answer.status_code == 409


async def test_callers_do_not_share_keys(api: Api) -> None:
    mine = await api.post("bff-checkout", CHECKOUT, api.user() | {"idempotency-key": "k1"})
    other = await api.post("bff-checkout", CHECKOUT | {"amount_cents": 1}, api.anonymous | {"idempotency-key": "k1"})
    assert mine.status_code == other.status_code == 200


async def test_a_refusal_is_kept_but_a_malformed_request_is_not(database: str) -> None:
    unknown = CHECKOUT | {"itinerary_id": "99999999-9999-4999-8999-999999999999"}
    live = {"USE_FIXTURES": "0", "STRIPE_MOCK_MODE": "1", "INVENTORY_OFFLINE": "1", "WA_OFFLINE": "1"}
    async with serving(database, switches={**live, "OPS_REFUND_MODE": "mock"}) as api:
        headers = api.anonymous | {"idempotency-key": "k1"}
        assert (await api.post("bff-checkout", {}, headers)).status_code == 400
        first = await api.post("bff-checkout", unknown, headers)
        assert (first.status_code, first.json()["error"]) == (404, "Itinerary not found")
        again = await api.post("bff-checkout", unknown, headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (404, "true")


async def test_while_the_first_runs_the_second_is_told_to_wait(api: Api, admin: asyncpg.Connection) -> None:
    headers = api.anonymous | {"idempotency-key": "k1"}
    async with admin.transaction():
        await admin.execute("lock table payment.payments in access exclusive mode")
        first = asyncio.create_task(api.post("bff-checkout", CHECKOUT, headers))
        await blocked(admin)
        second = await api.post("bff-checkout", CHECKOUT, headers)
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    assert (await first).status_code == 200


async def test_twenty_at_once_make_one_payment(api: Api, admin: asyncpg.Connection) -> None:
    headers = api.anonymous | {"idempotency-key": "k1"}
    answers = await asyncio.gather(*(api.post("bff-checkout", CHECKOUT, headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.json()["payment_id"] for answer in answers if answer.status_code == 200}) == 1
    assert await admin.fetchval("select count(*) from payment.payments") == 1
    assert await admin.fetchval("select count(*) from fin.ledger") == 1


async def test_a_key_is_forgotten_after_a_day(api: Api, admin: asyncpg.Connection) -> None:
    headers = api.anonymous | {"idempotency-key": "k1"}
    await api.post("bff-checkout", CHECKOUT, headers)
    await admin.execute("update ops.idempotency_keys set created_at = now() - interval '24 hours 1 second'")
    answer = await api.post("bff-checkout", CHECKOUT | {"amount_cents": 7}, headers)
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


async def test_a_request_that_died_can_be_made_again_after_its_lease(api: Api, admin: asyncpg.Connection) -> None:
    headers = api.anonymous | {"idempotency-key": "k1"}
    first = await api.post("bff-checkout", CHECKOUT, headers)
    await admin.execute("update ops.idempotency_keys set status = null, body = null")
    assert (await api.post("bff-checkout", CHECKOUT, headers)).status_code == 409
    await admin.execute("update ops.idempotency_keys set locked_until = now() - interval '1 second'")
    again = await api.post("bff-checkout", CHECKOUT, headers)
    assert again.json()["payment_id"] == first.json()["payment_id"]


async def test_an_answer_is_kept_in_the_transaction_of_its_effect(api: Api, admin: asyncpg.Connection) -> None:
    group = (await api.post("groups-create", {"name": "Gorilla trek"}, api.user())).json()["group_id"]
    escrow = {"group_id": group, "target_cents": 500, "deadline": "2099-01-01T00:00:00Z"}
    for endpoint, body, table in (
        ("permits-request", {"park": "Nyungwe", "visit_date": "2099-01-01", "pax_count": 2}, "permits.requests"),
        ("groups-create", {"name": "Lake Kivu", "user_id": TRAVELLER}, '"group".groups'),
        ("groups-create-escrow", escrow, '"group".escrows'),
        ("groups-join", {"group_id": group, "user_id": OTHER_TRAVELLER}, '"group".members'),
    ):
        before = await admin.fetchval(f"select count(*) from {table}")
        headers = api.service | {"idempotency-key": endpoint}
        first = await api.post(endpoint, body, headers)
        same = f"select true from {table} r join ops.idempotency_keys k on k.xmin = r.xmin where k.key = $1"
        assert await admin.fetchval(same, endpoint) is True
        await admin.execute("update ops.idempotency_keys set locked_until = now() - interval '1 hour'")
        again = await api.post(endpoint, body, headers)
        assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (200, first.content, "true")
        assert await admin.fetchval(f"select count(*) from {table}") == before + 1


async def test_who_comes_after_a_lease_ran_out_is_the_only_one_to_answer(admin: asyncpg.Connection) -> None:
    claim = "select ops.claim_idempotency_key('anonymous', 'k1', '\\x00') ->> 'claim'"
    early = await admin.fetchval(claim)
    await admin.execute("update ops.idempotency_keys set locked_until = now() - interval '1 second'")
    late = await admin.fetchval(claim)
    assert early != late
    await admin.execute("select ops.settle_idempotency_key($1, 200, 'early')", early)
    assert await admin.fetchval("select body from ops.idempotency_keys") is None
    await admin.execute("select ops.settle_idempotency_key($1, 200, 'late')", late)
    assert await admin.fetchval("select body from ops.idempotency_keys") == "late"


async def test_a_quote_keeps_nothing(api: Api, admin: asyncpg.Connection) -> None:
    asked = {"items": [{"description": "boat", "price_cents": 100}]}
    for _ in range(2):
        answer = await api.post("bff-quote", asked, api.anonymous | {"idempotency-key": "q"})
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)
    assert await admin.fetchval("select count(*) from ops.idempotency_keys") == 0


async def test_who_sends_events_claims_no_key_before_the_signature_is_checked(
    database: str, admin: asyncpg.Connection
) -> None:
    async with serving(database, stripe_webhook_secrets=("whsec_x",)) as api:
        for name in ("stripe-webhook", "wa-webhook"):
            answer = await api.post(name, {"type": "x", "data": {}}, {"idempotency-key": "k"})
            assert answer.status_code == 400
    assert await admin.fetchval("select count(*) from ops.idempotency_keys") == 0
