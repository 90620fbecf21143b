"""Invoices and credit notes: the number first, then the document, which is the same however often it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.context import Context
from src.domain.errors import Conflict, NotFound
from src.domain.storage import Link, ObjectName, StoredObject

if TYPE_CHECKING:
    from src.ports.invoices import Invoices, Renderer
    from src.ports.storage import Links, Storage

LINK_LIFETIME = timedelta(days=30)
BATCH = 20


@dataclass(frozen=True, slots=True)
class InvoiceRequest:
    """Which document: a payment's invoice, or the credit note (`kind`) of its latest refund without one."""

    kind: str
    payment_id: UUID
    itinerary_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """An issued document. `content` is all it says, frozen with its number; `sha256` is hex, of the stored document."""

    invoice_id: UUID
    number: str
    kind: str
    storage_path: str
    content: Mapping[str, object]
    reused: bool
    total_cents: int
    currency: str
    sha256: str | None = None

    @property
    def object_name(self) -> ObjectName:
        return ObjectName("invoices", self.storage_path)


async def issue_document(
    context: Context,
    request: InvoiceRequest,
    invoices: Invoices,
    renderer: Renderer,
    storage: Storage,
    links: Links,
) -> tuple[Invoice, Link]:
    """The document with a link to it. Asking again gives the same invoice and a fresh link.

    A crash after the number leaves a document to render, which asking again or the worker does. Raises NotFound,
    Conflict (nothing captured, nothing to credit), Unavailable.
    """
    invoice = await invoices.issue(context, request)
    stored = await store_document(context, invoice, invoices, renderer, storage)
    return invoice, links.sign(stored, LINK_LIFETIME)


async def store_document(
    context: Context, invoice: Invoice, invoices: Invoices, renderer: Renderer, storage: Storage
) -> StoredObject:
    """The stored document, rendered when it is missing or is not what its digest says.

    Raises Conflict when a rendering differs from the first one.
    """
    found = await _stored_as(invoice.sha256, invoice.object_name, storage)
    if found is not None:
        return found
    document = await renderer.render(invoice.content)
    digest = hashlib.sha256(document).hexdigest()
    if invoice.sha256 not in (None, digest):
        message = f"{invoice.number} can no longer be rendered as it was; restore it from a backup"
        raise Conflict(message)
    # The file is stored first, because a digest in the row means that the document exists.
    found = await _stored_as(digest, invoice.object_name, storage)
    stored = found or await storage.put(invoice.object_name, document, replace=True)
    await invoices.record_document(context, invoice.invoice_id, digest)
    return stored


async def render_due(context: Context, invoices: Invoices, renderer: Renderer, storage: Storage) -> int:
    """Render issued documents that have no file; returns their number.

    One failure does not stop the others; the first error is raised at the end.
    """
    due = await invoices.claim_to_render(context, BATCH)
    failures: list[Exception] = []
    for invoice in due:
        try:
            await store_document(context, invoice, invoices, renderer, storage)
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
    if failures:
        raise failures[0]
    return len(due)


async def _stored_as(sha256: str | None, name: ObjectName, storage: Storage) -> StoredObject | None:
    """The object if its content has this digest."""
    if sha256 is None:
        return None
    try:
        stored = await storage.head(name)
        content = hashlib.sha256()
        async for piece in storage.read(stored):
            content.update(piece)
    except NotFound:
        return None
    return stored if content.hexdigest() == sha256 else None
