"""The provider's events, sent to a server process."""

from __future__ import annotations

import httpx

from tests.fakes.stripe import FakeStripe, signed
from tests.support.processes import TIMEOUT, ServerProcess

SECRET = "whsec_crash"


async def tell(running: ServerProcess, stripe: FakeStripe) -> None:
    """Every event of the provider, also those that it sent before."""
    async with httpx.AsyncClient(base_url=running.address, timeout=TIMEOUT) as client:
        for event in stripe.events:
            answer = await client.post("/functions/v1/stripe-webhook", **signed(event, SECRET))
            assert (answer.status_code, answer.json()["result"] in ("applied", "duplicate")) == (200, True), answer.text
