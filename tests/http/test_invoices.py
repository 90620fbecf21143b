"""`fin-invoice-generate` against a store that loses, keeps or changes what it was given."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from src.composition import compose
from src.domain.errors import Unavailable
from src.domain.invoices import render_due
from src.worker import sweeps
from tests.conftest import ITINERARY, OPS_USER, SERVICE_CONTEXT, Api, serving
from tests.support.money import captured, refunded
from tests.support.postgres import settings


@pytest.fixture
async def store(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(database, storage_url=f"file://{tmp_path}") as api:
        yield api


def documents(folder: Path) -> list[Path]:
    return list(folder.rglob("*.pdf"))


async def generate(api: Api, payment: object, kind: str = "invoice", **more: object) -> dict[str, Any]:
    answer = await api.post("fin-invoice-generate", {"kind": kind, "payment_id": str(payment), **more}, api.service)
    return {"status": answer.status_code, **answer.json()}


async def test_the_invoice_again_is_the_same_with_a_fresh_link(store: Api, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    first = await generate(store, payment, itinerary_id=ITINERARY)
    assert re.fullmatch(r"INV-\d{8}-0001", first["number"])
    assert (first["status"], first["ok"], "reused" in first) == (200, True, False)
    assert first["signed_url"].startswith("http://testserver/storage/v1/object/sign/invoices/")
    again = await generate(store, payment)
    assert (again["number"], again["invoice_id"], again["reused"]) == (first["number"], first["invoice_id"], True)
    assert again["signed_url"] != first["signed_url"]
    documents = [(await store.http.get(answer["signed_url"])).content for answer in (first, again)]
    assert documents[0] == documents[1]
    kept = await admin.fetchrow("select sha256, storage_path from fin.invoices")
    assert kept is not None
    assert kept["sha256"] == hashlib.sha256(documents[0]).hexdigest()
    assert (await admin.fetchval("select count(*) from fin.invoices")) == 1


async def test_links_begin_with_the_public_address(database: str, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    async with serving(database, public_url="https://api.ecotrips.example/") as api:
        link = (await generate(api, payment))["signed_url"]
    assert link.startswith("https://api.ecotrips.example/storage/v1/object/sign/invoices/")


async def test_what_cannot_be_invoiced_is_refused(store: Api, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    unpaid = (
        await store.post("bff-checkout", {"itinerary_id": ITINERARY, "amount_cents": 9, "currency": "USD"})
    ).json()
    assert (await generate(store, uuid4()))["status"] == 404
    assert (await generate(store, unpaid["payment_id"]))["status"] == 409
    assert (await generate(store, payment, itinerary_id=str(uuid4())))["status"] == 409
    assert (await generate(store, payment, "credit_note"))["status"] == 409
    refused = await generate(store, payment, "receipt")
    assert (refused["status"], refused["error"]) == (400, "kind must be invoice|credit_note")
    for headers, status in ((store.anonymous, 401), (store.user(), 403), (store.user(OPS_USER), 403)):
        body = {"kind": "invoice", "payment_id": str(payment)}
        assert (await store.post("fin-invoice-generate", body, headers)).status_code == status
    assert await admin.fetchval("select count(*) from fin.invoices") == 0


async def test_a_lost_or_altered_document_is_made_again(store: Api, admin: asyncpg.Connection, tmp_path: Path) -> None:
    [payment] = await captured(admin)
    first = await generate(store, payment)
    path = tmp_path / "invoices" / await admin.fetchval("select storage_path from fin.invoices")
    original = path.read_bytes()
    path.unlink()
    assert (await store.http.get(first["signed_url"])).status_code == 404
    again = await generate(store, payment)
    assert (await store.http.get(again["signed_url"])).content == original
    path.write_bytes(original.replace(b"%PDF", b"%PDG"))
    assert (await store.http.get((await generate(store, payment))["signed_url"])).content == original


async def test_a_document_that_would_differ_is_refused(store: Api, admin: asyncpg.Connection, tmp_path: Path) -> None:
    [payment] = await captured(admin)
    await generate(store, payment)
    await admin.execute("alter table fin.invoices disable trigger guard_invoice")
    await admin.execute("update fin.invoices set sha256 = repeat('0', 64)")
    await admin.execute("alter table fin.invoices enable trigger guard_invoice")
    answer = await generate(store, payment)
    assert (answer["status"], answer["code"]) == (409, "DATA_CONFLICT")
    assert len(documents(tmp_path)) == 1


async def test_what_a_crash_left_without_document_is_rendered_by_the_worker(
    database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    payments = await captured(admin, 3)
    for payment in payments:
        await admin.execute("select public.generate_invoice('invoice', $1)", payment)
    composed = compose(settings(database, storage_url=f"file://{tmp_path}"))
    sweep = next(sweep for sweep in sweeps(composed) if sweep.name == "invoices")
    assert await sweep.run(SERVICE_CONTEXT) == 0  # whoever issued them has a minute
    await admin.execute("update fin.invoices set next_render_at = now()")
    assert await sweep.run(SERVICE_CONTEXT) == 3
    assert await sweep.run(SERVICE_CONTEXT) == 0
    assert len(documents(tmp_path)) == 3
    assert await admin.fetchval("select count(*) from fin.invoices where sha256 is null") == 0
    await composed.database.close()


async def test_a_document_that_cannot_be_made_does_not_hold_up_the_others(
    database: str, admin: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for payment in await captured(admin, 3):
        await admin.execute("select public.generate_invoice('invoice', $1)", payment)
    await admin.execute("update fin.invoices set next_render_at = now()")
    composed = compose(settings(database, storage_url=f"file://{tmp_path}"))
    broken = await admin.fetchval("select number from fin.invoices order by number limit 1")
    rendered = composed.documents.rendered

    def fragile(content: Mapping[str, object]) -> bytes:
        if content["number"] == broken:
            message = "no glyph"
            raise RuntimeError(message)
        return rendered(content)

    monkeypatch.setattr(composed.documents, "rendered", fragile)
    with pytest.raises(RuntimeError, match="no glyph"):
        await render_due(SERVICE_CONTEXT, composed.invoices, composed.documents, composed.storage)
    assert await admin.fetchval("select number from fin.invoices where sha256 is null") == broken
    # An hour later it is for ops to look at, and queued again by them.
    await admin.execute(
        "set session_replication_role = replica;"
        "update fin.invoices set created_at = created_at - interval '61 minutes', next_render_at = now();"
        "reset session_replication_role"
    )
    with pytest.raises(RuntimeError, match="no glyph"):
        await render_due(SERVICE_CONTEXT, composed.invoices, composed.documents, composed.storage)
    unresolved = "select id from ops.exceptions where kind = 'invoice' and status = 'open'"
    [exception] = [row["id"] for row in await admin.fetch(unresolved)]
    monkeypatch.undo()
    await admin.execute("select public.retry_exception($1)", exception)
    assert await render_due(SERVICE_CONTEXT, composed.invoices, composed.documents, composed.storage) == 1
    assert await admin.fetchval("select status from ops.exceptions where id = $1", exception) == "resolved"
    await composed.close()


async def test_a_number_is_kept_while_the_store_is_away(
    store: Api, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    [payment] = await captured(admin)

    async def away(*_: object, **__: object) -> None:
        message = "The storage is temporarily unavailable"
        raise Unavailable(message)

    with monkeypatch.context() as patch:
        patch.setattr("src.adapters.files.store.FileStore.put", away)
        answer = await generate(store, payment)
    assert (answer["status"], answer["code"]) == (503, "TRANSIENT_RETRY")
    again = await generate(store, payment)
    assert (again["status"], again["number"][-5:], again["reused"]) == (200, "-0001", True)


async def test_the_audit_line_holds_ids_and_no_name_and_no_link(
    store: Api, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    [payment] = await captured(admin)
    answer = await generate(store, payment)
    await refunded(admin, payment, 5000)
    note = await generate(store, payment, "credit_note")
    written = capfd.readouterr()
    [line, _] = [line for line in written.out.splitlines() if line.startswith("AUDIT fin.invoice ")]
    assert f"payment={payment} invoice={answer['invoice_id']} number={answer['number']}" in line
    for secret in (
        "Amina",
        "Uwase",
        answer["signed_url"].partition("token=")[2],
        note["signed_url"].partition("token=")[2],
    ):
        assert secret not in written.out + written.err
    events = await admin.fetchval("select string_agg(payload::text, '') from audit.events")
    assert "Amina" not in events
