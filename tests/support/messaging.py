"""Messages sent live, to the fake of WhatsApp."""

from __future__ import annotations

from typing import Any

from src.composition import compose
from src.domain.messaging import send_due
from tests.conftest import SERVICE_CONTEXT, Api
from tests.fakes.whatsapp import FakeWhatsApp
from tests.support.postgres import settings

NUMBER = "250788120001"
LIVE = {"switches": {"WA_OFFLINE": "0", "USE_FIXTURES": "1", "STRIPE_MOCK_MODE": "1", "OPS_REFUND_MODE": "mock"}}


def live_settings(fake: FakeWhatsApp, address: str) -> dict[str, Any]:
    return {
        **LIVE,
        "wa_graph_base": address,
        "wa_phone_id": fake.phone_id,
        "wa_access_token": fake.token,
        "wa_app_secrets": ("next-secret", fake.app_secret),
        "wa_verify_token": "verify",
        "wa_link_template": "link_notice",
    }


async def events(api: Api, body: bytes, signature: str | None) -> Any:
    headers = {"content-type": "application/json"} | ({"x-hub-signature-256": signature} if signature else {})
    return await api.http.post("/functions/v1/wa-webhook", content=body, headers=headers)


async def work(database: str, fake: FakeWhatsApp, address: str) -> None:
    """A worker's turn over all that waits."""
    composed = compose(settings(database, **live_settings(fake, address)))
    while await send_due(SERVICE_CONTEXT, composed.messages, composed.senders):
        pass
    await composed.close()
