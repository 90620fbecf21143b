from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from src.domain.context import Context
from src.domain.invoices import Invoice, InvoiceRequest


class Invoices(Protocol):
    """Keeps issued documents and gives them numbers without gaps."""

    async def issue(self, context: Context, request: InvoiceRequest) -> Invoice:
        """The document, issued when new. Raises NotFound (payment), Conflict (nothing captured, nothing to credit)."""

    async def record_document(self, context: Context, invoice_id: UUID, sha256: str) -> None:
        """Keep the digest of what was stored. Raises Conflict when another one is kept."""

    async def claim_to_render(self, context: Context, limit: int) -> Sequence[Invoice]:
        """Issued documents that nobody has rendered for a while, kept from others for five minutes."""


class Renderer(Protocol):
    """Makes documents."""

    async def render(self, content: Mapping[str, object]) -> bytes:
        """The PDF of a document's frozen content; the same bytes on every host."""
