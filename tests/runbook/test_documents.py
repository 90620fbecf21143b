"""Runbook, "Finance Ops": invoice, its link by WhatsApp, and its credit note after a refund."""

from __future__ import annotations

import io
from typing import Any

import asyncpg
import httpx
from pypdf import PdfReader

from tests.conftest import ITINERARY, Api
from tests.support.runbook import paid


async def generated(api: Api, **body: str) -> dict[str, Any]:
    answer = await api.post("fin-invoice-generate", body, api.service)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


async def opened(api: Api, link: str) -> str:
    """What the PDF behind a link says; it is fetched as anybody would, without a key."""
    assert httpx.URL(link).is_absolute_url
    answer = await api.http.get(link)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)


async def test_an_invoice_is_made_sent_by_whatsapp_and_credited_after_a_refund(
    api: Api, admin: asyncpg.Connection
) -> None:
    payment = (await paid(api))["payment_id"]
    invoice = await generated(api, kind="invoice", payment_id=payment, itinerary_id=ITINERARY)
    text = await opened(api, invoice["signed_url"])
    assert invoice["number"] in text
    assert "USD 250.00" in text

    notice = {"type": "link_notice", "to": "+250788123456", "text": "Your invoice", "url": invoice["signed_url"]}
    delivered = (await api.post("wa-send", notice, api.service)).json()
    assert (delivered["ok"], delivered["mode"], delivered["status"]) == (True, "mock", "sent")
    # The link that the traveller gets is the one that opens.
    link = await admin.fetchval("select url from wa.messages where provider_message_id = $1", delivered["message_id"])
    assert invoice["number"] in await opened(api, link)

    refund = await api.post("payments-refund", {"payment_id": payment, "amount_cents": 5000}, api.service)
    assert refund.status_code == 200, refund.text
    note = await generated(api, kind="credit_note", payment_id=payment)
    assert note["number"] == f"{invoice['number']}-CN"
    text = await opened(api, note["signed_url"])
    assert "Credit note" in text
    assert invoice["number"] in text
    assert "USD 50.00" in text
    again = await api.post("fin-invoice-generate", {"kind": "credit_note", "payment_id": payment}, api.service)
    assert again.status_code == 409
