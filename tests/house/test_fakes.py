"""The fakes run by hand with a server beside them: WhatsApp as docs/develop.md starts it, Stripe as its head says."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx

from tests.conftest import ITINERARY, Api
from tests.fakes import stripe
from tests.support.processes import ROOT, TIMEOUT, first_line, free_port, server

COMMAND = re.compile(
    r"^\.venv/bin/python (-m tests\.fakes\.whatsapp) 8430 http://127\.0\.0\.1:8000(\S+)$", re.MULTILINE
)


@contextmanager
def fake_whatsapp(port: int) -> Iterator[dict[str, str]]:
    """The settings that the fake prints, told of a service on the port."""
    found = COMMAND.search((ROOT / "docs" / "develop.md").read_text())
    assert found
    with first_line(*shlex.split(found[1]), str(free_port()), f"http://127.0.0.1:{port}{found[2]}") as printed:
        yield dict(setting.split("=", 1) for setting in printed.split())


async def test_the_fake_whatsapp_runs_by_hand(database: str, admin: asyncpg.Connection, tmp_path: Path) -> None:
    port = free_port()
    with fake_whatsapp(port) as live, server(database, tmp_path, PORT=str(port), **live) as running:
        async with httpx.AsyncClient(base_url=running.address, headers=Api.service, timeout=TIMEOUT) as client:
            for ending, status in (("0001", 200), ("0026", 200), ("0190", 502), ("0408", 202)):
                body = {"to": f"25078812{ending}", "text": "Muraho"}
                assert (await client.post("/functions/v1/wa-send", json=body)).status_code == status
            written = {"from": "250788120001", "text": "Murakoze 🙏"}
            (await client.post(f"{live['WA_GRAPH_BASE']}/_ctl/inbound", json=written)).raise_for_status()
        ends = {"0001": "read", "0026": "failed", "0190": "failed", "0408": "read"}
        query = "select right(msisdn, 4) as ending, status from wa.messages where direction = 'out'"
        deadline = time.monotonic() + TIMEOUT
        while (seen := {row["ending"]: row["status"] for row in await admin.fetch(query)}) != ends:
            assert time.monotonic() < deadline, seen
    assert await admin.fetchval("select body from wa.messages where direction = 'in'") == "Murakoze 🙏"


async def test_the_fake_stripe_runs_by_hand(database: str, admin: asyncpg.Connection, tmp_path: Path) -> None:
    settings = dict(re.findall(r"(STRIPE_\w+)=(\S+)", stripe.__doc__ or ""))
    with first_line("-m", "tests.fakes.stripe", str(free_port())) as base:
        live = {**settings, "STRIPE_API_BASE": base}
        with server(database, tmp_path, **live) as running:
            async with httpx.AsyncClient(base_url=running.address, headers=Api.service, timeout=TIMEOUT) as client:
                asked = {"itinerary_id": ITINERARY, "amount_cents": 25000, "currency": "USD"}
                payment = (await client.post("/functions/v1/bff-checkout", json=asked)).json()
                confirmed = f"{base}/v1/payment_intents/{payment['payment_intent']}/confirm"
                paid = {"payment_method": "pm_card_visa"}
                (await client.post(confirmed, data=paid, auth=(live["STRIPE_SECRET_KEY"], ""))).raise_for_status()
                told = {"url": f"{running.address}/functions/v1/stripe-webhook", "times": "2", "late": "7200"}
                told["secret"] = f"whsec_next,{live['STRIPE_WEBHOOK_SECRET']}"
                answers = (await client.post(f"{base}/_ctl/deliver", data=told)).json()["answers"]
    assert answers == [200, 200]
    (row,) = await admin.fetch("select status, captured_cents from payment.payments")
    assert tuple(row) == ("succeeded", 25000)
