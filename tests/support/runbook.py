"""The steps that the runbook's tests begin with: payments, groups and escrows by the endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg

from tests.conftest import CHECKOUT, ITINERARY, TRAVELLER, Api

OWNER = TRAVELLER


async def told(api: Api, kind: str, intent: Mapping[str, object]) -> str:
    """What the webhook makes of the mock provider's event about a payment that an answer names."""
    data = {name: intent[name] for name in ("payment_id", "payment_intent")}
    answer = await api.post("stripe-webhook", {"type": kind, "data": data})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


async def paid(api: Api) -> dict[str, Any]:
    intent: dict[str, Any] = (await api.post("bff-checkout", CHECKOUT)).json()
    assert await told(api, "payment_intent.succeeded", intent) == "applied"
    return intent


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def make_group(api: Api, **more: object) -> str:
    answer = await api.post("groups-create", {"name": "Gorilla trek", **more}, api.user(OWNER))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["group_id"])


async def open_escrow(api: Api, group: str, **more: object) -> str:
    terms = {"group_id": group, "target_cents": 50000, "min_members": 2, "deadline": in_an_hour(), **more}
    answer = await api.post("groups-create-escrow", terms, api.user(OWNER))
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "open"
    return str(answer.json()["escrow_id"])


async def join(api: Api, group: str, user: str | None = None) -> str:
    user = user or str(uuid4())
    answer = await api.post("groups-join", {"group_id": group}, api.user(user))
    assert answer.status_code == 200, answer.text
    return user


async def contribute(api: Api, escrow: str, user: str, cents: int, **headers: str) -> dict[str, object]:
    body = {"escrow_id": escrow, "amount_cents": cents, "currency": "usd"}
    answer = await api.post("groups-contribute", body, {**api.user(user), **headers})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def met_escrow(api: Api, cents: int = 25000) -> str:
    """An escrow of twice the cents that two members have met; every payment is an amount of its own."""
    group = await make_group(api, itinerary_id=ITINERARY)
    escrow = await open_escrow(api, group, itinerary_id=ITINERARY, target_cents=2 * cents)
    member = await join(api, group)
    await contribute(api, escrow, OWNER, cents)
    last = await contribute(api, escrow, member, cents)
    assert last["escrow_status"] == "met"
    return escrow


async def pass_deadline(admin: asyncpg.Connection, escrow: str) -> None:
    """Move the deadline into the past, as time would."""
    async with admin.transaction():
        await admin.execute("set local session_replication_role = replica")
        await admin.execute("update \"group\".escrows set deadline = now() - interval '1 second' where id = $1", escrow)
