"""Documents: the number first, the file before its digest on the row, and the same bytes however often it is made."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from src.domain.errors import Conflict, Unavailable
from src.domain.invoices import BATCH, LINK_LIFETIME, Invoice, InvoiceRequest, issue_document, render_due
from src.domain.storage import Link
from src.ports.invoices import Invoices, Renderer
from src.ports.storage import Links
from tests.conftest import SERVICE_CONTEXT
from tests.support.ports import NOW, MemoryStorage, Ports

DOCUMENT = b"%PDF-1.7 the document"
DIGEST = hashlib.sha256(DOCUMENT).hexdigest()
ISSUED = Invoice(UUID(int=1), "INV-1", "invoice", "2026/INV-1.pdf", {"number": "INV-1"}, False, 25000, "USD")
STORED = replace(ISSUED, reused=True, sha256=DIGEST)
PATH = str(ISSUED.object_name)
ASKED = InvoiceRequest("invoice", UUID(int=2))
LINK = Link("/object/sign/x", "link", NOW + timedelta(days=30))


def invoices(ports: Ports, invoice: object = ISSUED, **answers: object) -> Any:
    return ports.fake(Invoices, issue=invoice, **{"record_document": None} | answers)


def renderer(ports: Ports, answer: object = DOCUMENT) -> Any:
    return ports.fake(Renderer, render=answer)


def links(ports: Ports) -> Any:
    return ports.fake(Links, sign=LINK)


async def test_a_document_is_numbered_then_rendered_then_stored_then_recorded_then_linked() -> None:
    ports, storage = Ports(), MemoryStorage()
    made = await issue_document(SERVICE_CONTEXT, ASKED, invoices(ports), renderer(ports), storage, links(ports))
    assert made == (ISSUED, LINK)
    assert ports.asked == ["Invoices.issue", "Renderer.render", "Invoices.record_document", "Links.sign"]
    assert storage.objects == {ISSUED.object_name: DOCUMENT}
    assert ports.calls[1].arguments == {"content": ISSUED.content}
    assert ports.calls[2].arguments == {"invoice_id": ISSUED.invoice_id, "sha256": DIGEST}
    assert ports.calls[3].arguments["lifetime"] == LINK_LIFETIME


async def test_a_document_that_is_stored_as_it_was_is_only_linked() -> None:
    ports, storage = Ports(), MemoryStorage(**{PATH: DOCUMENT})
    await issue_document(SERVICE_CONTEXT, ASKED, invoices(ports, STORED), renderer(ports), storage, links(ports))
    assert ports.asked == ["Invoices.issue", "Links.sign"]
    assert storage.asked == []


@pytest.mark.parametrize("content", [None, b"", DOCUMENT + b" altered"], ids=["lost", "empty", "altered"])
async def test_a_document_that_is_not_what_it_was_is_made_again(content: bytes | None) -> None:
    ports, storage = Ports(), MemoryStorage(**({} if content is None else {PATH: content}))
    await issue_document(SERVICE_CONTEXT, ASKED, invoices(ports, STORED), renderer(ports), storage, links(ports))
    assert storage.objects == {ISSUED.object_name: DOCUMENT}
    assert ports.asked[-2:] == ["Invoices.record_document", "Links.sign"]


async def test_a_rendering_that_differs_from_the_first_replaces_nothing() -> None:
    ports, storage = Ports(), MemoryStorage(**{PATH: b"altered"})
    with pytest.raises(Conflict, match="INV-1 can no longer be rendered as it was"):
        await issue_document(
            SERVICE_CONTEXT, ASKED, invoices(ports, STORED), renderer(ports, b"another"), storage, links(ports)
        )
    assert storage.asked == []
    assert ports.asked == ["Invoices.issue", "Renderer.render"]


async def test_a_document_that_a_crash_left_unrecorded_is_recorded_and_not_stored_again() -> None:
    """Storing it again would end the links to it."""
    ports, storage = Ports(), MemoryStorage(**{PATH: DOCUMENT})
    await issue_document(SERVICE_CONTEXT, ASKED, invoices(ports), renderer(ports), storage, links(ports))
    assert storage.asked == []
    assert "Invoices.record_document" in ports.asked


async def test_a_document_that_could_not_be_stored_is_not_recorded_as_if_it_were() -> None:
    ports, storage = Ports(), MemoryStorage()
    storage.failure = Unavailable("full")
    with pytest.raises(Unavailable):
        await issue_document(SERVICE_CONTEXT, ASKED, invoices(ports), renderer(ports), storage, links(ports))
    assert ports.asked == ["Invoices.issue", "Renderer.render"]


async def test_what_cannot_be_issued_is_not_rendered() -> None:
    ports, storage = Ports(), MemoryStorage()
    with pytest.raises(Conflict):
        await issue_document(
            SERVICE_CONTEXT,
            ASKED,
            invoices(ports, Conflict("nothing captured")),
            renderer(ports),
            storage,
            links(ports),
        )
    assert ports.asked == ["Invoices.issue"]


async def test_a_document_that_cannot_be_made_keeps_no_other_from_it() -> None:
    ports, storage = Ports(), MemoryStorage()
    due = [replace(ISSUED, storage_path=f"2026/{n}.pdf") for n in range(3)]
    kept = invoices(ports, claim_to_render=due)
    broken = ValueError("cannot be rendered")
    with pytest.raises(ValueError, match="cannot be rendered"):
        await render_due(SERVICE_CONTEXT, kept, renderer(ports, iter([broken, DOCUMENT, DOCUMENT])), storage)
    assert [name.path for name in storage.objects] == ["2026/1.pdf", "2026/2.pdf"]
    assert ports.calls[0].arguments == {"limit": BATCH}


async def test_the_worker_says_how_many_documents_it_looked_at() -> None:
    ports, storage = Ports(), MemoryStorage()
    kept = invoices(ports, claim_to_render=[ISSUED, STORED])
    assert await render_due(SERVICE_CONTEXT, kept, renderer(ports), storage) == 2
    assert ports.asked.count("Renderer.render") == 1
