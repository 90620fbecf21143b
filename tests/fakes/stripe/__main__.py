from __future__ import annotations

import asyncio
import sys

import httpx

from tests.fakes.stripe import FakeStripe, signed
from tests.fakes.wire import listening

SECRET = "whsec_1"
PAUSE = 1.0


async def tell(fake: FakeStripe, url: str) -> None:
    """Sends each event until it is accepted (Webhooks: automatic retries)."""
    accepted: set[str] = set()
    async with httpx.AsyncClient() as client:
        while True:
            for event in [event for event in fake.events if event["id"] not in accepted]:
                try:
                    answer = await client.post(url, **signed(event, SECRET))
                except httpx.TransportError:
                    continue
                if answer.is_success:
                    accepted.add(event["id"])
            await asyncio.sleep(PAUSE)


async def main(port: int, url: str) -> None:
    fake = FakeStripe()
    async with listening(fake, port) as address:
        print(address, flush=True)
        await (tell(fake, url) if url else asyncio.Event().wait())


ARGUMENTS = dict(enumerate(sys.argv))
asyncio.run(main(int(ARGUMENTS.get(1, "8420")), ARGUMENTS.get(2, "")))
