"""The fake Stripe as it is told from outside what to do: the next failures, and how its events are delivered."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from src.adapters.stripe.signatures import StripeSignatures
from tests.fakes.stripe import FakeStripe
from tests.fakes.wire import Reply, Request, listening

OLD, NEW = "whsec_old", "whsec_new"
PAYMENT = {"amount": "25000", "currency": "usd"}
KEY = {"authorization": "Bearer sk_test"}


@pytest.mark.parametrize("secrets", [(OLD,), (NEW,), (OLD, NEW)])
async def test_events_are_delivered_often_and_late_and_signed_with_every_secret(secrets: tuple[str, ...]) -> None:
    came: list[Request] = []

    async def service(request: Request) -> Reply:
        came.append(request)
        return Reply(200, {})

    fake = FakeStripe()
    async with listening(fake) as stripe, listening(service) as address, httpx.AsyncClient(base_url=stripe) as client:
        intent = (await client.post("/v1/payment_intents", data=PAYMENT, headers=KEY)).json()["id"]
        await client.post(f"/v1/payment_intents/{intent}/confirm", headers=KEY)
        await client.post("/v1/refunds", data={"payment_intent": intent}, headers=KEY)
        asked = {"url": address, "secret": ",".join(secrets), "times": "2", "late": "7200"}
        answers = (await client.post("/_ctl/deliver", data=asked)).json()["answers"]
    events = [json.loads(request.body) for request in came]
    assert answers == [200] * len(came) == [200] * 2 * len(fake.events)
    assert sorted(event["id"] for event in events) == sorted([event["id"] for event in fake.events] * 2)
    assert {event["type"] for event in events} >= {"payment_intent.succeeded", "charge.refunded", "refund.created"}
    assert all(event["created"] < time.time() - 7000 for event in events)
    for secret in (OLD, NEW, "whsec_other"):
        signatures = StripeSignatures([secret])
        valid = {signatures.valid(request.body, request.headers["stripe-signature"]) for request in came}
        assert valid == {secret in secrets}


async def test_the_next_calls_fail_as_they_were_told_to() -> None:
    fake = FakeStripe()
    async with listening(fake) as stripe, httpx.AsyncClient(base_url=stripe, headers=KEY) as client:
        for fault in ("503", "hang_up"):
            await client.post("/_ctl/next", data={"fail": fault})
        assert (await client.post("/v1/payment_intents", data=PAYMENT)).status_code == 503
        with pytest.raises(httpx.TransportError):
            await client.post("/v1/payment_intents", data=PAYMENT)
        assert (await client.post("/v1/payment_intents", data=PAYMENT)).status_code == 200
    assert len(fake.intents) == 2
