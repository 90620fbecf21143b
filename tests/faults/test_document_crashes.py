"""kill -9 of the server while it makes a document or sends a message: one number, no second send without a trace."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Api, serving
from tests.fakes.whatsapp import FakeWhatsApp
from tests.fakes.wire import Door, Reply, Request, listening
from tests.support.messaging import NUMBER, events, live_settings, work
from tests.support.money import captured
from tests.support.processes import TIMEOUT, server
from tests.support.races import killed, post

NOTICE = {"type": "link_notice", "to": NUMBER, "text": "Your invoice", "url": "https://ecotrips.example/i"}
# Where the server dies: WhatsApp has not been reached; it has the message but has not answered; its answer has come but
# is not committed.
UNREACHED, UNANSWERED, UNRECORDED = "before WhatsApp", "before its answer", "before our commit"


@pytest.fixture
def fake() -> FakeWhatsApp:
    return FakeWhatsApp()


@pytest.fixture
async def door(fake: FakeWhatsApp) -> AsyncIterator[tuple[Door, str]]:
    door = Door(fake)
    async with listening(door) as address:
        yield door, address


def quick(point: str) -> Callable[[Any], Any]:
    """All points, of which only one in the quick suite."""
    points = (UNREACHED, UNANSWERED, UNRECORDED)
    marked = [pytest.param(each, marks=[] if each == point else pytest.mark.heavy) for each in points]
    return pytest.mark.parametrize("at", marked)


@quick(UNRECORDED)
async def test_a_message_whose_sender_died_is_shown_as_unknown_and_not_sent_again(
    database: str, admin: asyncpg.Connection, tmp_path: Path, fake: FakeWhatsApp, door: tuple[Door, str], at: str
) -> None:
    gate, address = door
    live = {
        "WA_OFFLINE": "0",
        "WA_GRAPH_BASE": address,
        "WA_PHONE_ID": fake.phone_id,
        "WA_ACCESS_TOKEN": fake.token,
        "WA_LINK_TEMPLATE": "link_notice",
    }
    gate.shut, gate.held = at == UNREACHED, at != UNREACHED
    with server(database, tmp_path, **live) as running:
        asking = asyncio.ensure_future(post(running, "wa-send", Api.service, **NOTICE))
        await asyncio.wait_for(gate.knocked.wait(), TIMEOUT)
        if at == UNRECORDED:
            async with admin.transaction():
                await admin.execute("select from wa.messages for update")
                gate.opened.set()
                await killed(running, admin, asking)
        else:
            running.kill()
            with pytest.raises(httpx.TransportError):
                await asking
    gate.opened.set()
    gate.shut = gate.held = False
    assert len(fake.taken) == (at != UNREACHED)
    assert await admin.fetchval("select status from wa.messages") == "sending"

    await admin.execute("update wa.messages set locked_until = now() - interval '1 second'")
    await work(database, fake, address)
    assert len(fake.taken) == (at != UNREACHED)
    message = await admin.fetchrow("select id::text, status from wa.messages")
    assert message is not None
    assert message["status"] == "unknown"
    opened = "select status from ops.exceptions where kind = 'message' and cause = $1"
    assert await admin.fetchval(opened, message["id"]) == "open"
    assert await admin.fetchval("select count(*) from audit.events where what = 'message.unknown'") == 1

    if at == UNREACHED:  # ops see in WhatsApp's manager that it never went out, and send it again
        await admin.execute("select public.retry_exception(id) from ops.exceptions where kind = 'message'")
        await work(database, fake, address)
    async with serving(database, **live_settings(fake, address)) as api:
        for body in fake.reports():
            assert (await events(api, body, fake.signature(body))).status_code == 200
    assert len(fake.taken) == 1
    assert await admin.fetchval("select status from wa.messages") == "read"
    assert await admin.fetchval(opened, message["id"]) == "resolved"


@pytest.mark.heavy
async def test_a_number_whose_document_was_never_rendered_keeps_it(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    [payment] = await captured(admin)
    asked = {"kind": "invoice", "payment_id": str(payment)}

    async def unwilling(_: Request) -> Reply:
        return Reply(503, {})

    store = Door(unwilling, shut=True)
    async with listening(store) as address:
        away = {
            "STORAGE_URL": "s3://documents",
            "AWS_ENDPOINT_URL": address,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        with server(database, tmp_path, **away) as running:
            asking = asyncio.ensure_future(post(running, "fin-invoice-generate", Api.service, **asked))
            await asyncio.wait_for(store.knocked.wait(), TIMEOUT)
            running.kill()
            with pytest.raises(httpx.TransportError):
                await asking
        store.opened.set()
    issued = await admin.fetchrow("select number, sha256 from fin.invoices")
    assert issued is not None
    assert issued["sha256"] is None
    async with serving(database) as api:
        answer = (await api.post("fin-invoice-generate", asked, api.service)).json()
        document = (await api.http.get(answer["signed_url"])).content
    assert (answer["number"], answer["reused"]) == (issued["number"], True)
    assert await admin.fetchval("select sha256 from fin.invoices") == hashlib.sha256(document).hexdigest()


@pytest.mark.heavy
async def test_a_document_that_was_stored_and_not_recorded_is_recorded_as_it_is(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    [payment] = await captured(admin)
    asked = {"kind": "invoice", "payment_id": str(payment)}
    # What records a document's digest waits for the administrator first.
    await admin.execute(
        "create function public.wait_here() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock(1); return new; end $$;"
        "create trigger a_wait before update on fin.invoices for each row execute function public.wait_here()"
    )
    storage = tmp_path / "storage"
    with server(database, tmp_path, STORAGE_URL=f"file://{storage}") as running:
        async with admin.transaction():
            await admin.execute("select pg_advisory_xact_lock(1)")
            await killed(running, admin, post(running, "fin-invoice-generate", Api.service, **asked))
    [stored] = storage.rglob("*.pdf")
    before = stored.read_bytes()
    assert await admin.fetchval("select sha256 from fin.invoices") is None
    async with serving(database, storage_url=f"file://{storage}") as api:
        answer = (await api.post("fin-invoice-generate", asked, api.service)).json()
    assert (answer["number"][-5:], answer["reused"]) == ("-0001", True)
    assert [path.read_bytes() for path in storage.rglob("*.pdf")] == [before]
    assert await admin.fetchval("select sha256 from fin.invoices") == hashlib.sha256(before).hexdigest()
