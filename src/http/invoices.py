"""`fin-invoice-generate` (docs/api.md, Finance)."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.invoices import InvoiceRequest, issue_document
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.http.fields import ItineraryId
from src.ports.invoices import Invoices, Renderer
from src.ports.storage import Links, Storage


class InvoiceInput(msgspec.Struct, frozen=True):
    kind: Annotated[
        Literal["invoice", "credit_note"],
        Meta(
            description="A payment's invoice, or the credit note of its latest refund",
            examples=["invoice"],
            extra={"message": "kind must be invoice|credit_note"},
        ),
    ]
    payment_id: Annotated[UUID, Meta(description="A captured payment")]
    itinerary_id: ItineraryId | None = None


class InvoiceAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool
    request_id: str
    invoice_id: UUID
    number: Annotated[str, Meta(examples=["INV-20261124-0001"])]
    signed_url: Annotated[str, Meta(description="Opens the PDF for 30 days")]
    reused: Annotated[bool, Meta(description="True when the document had been issued before")] = False


class InvoicesController(Controller):
    @endpoint(
        "fin-invoice-generate",
        audit="fin.invoice",
        access=Access.SERVICE,
        per_minute=None,
        errors=(404, 409),
        functions=("public.generate_invoice",),
    )
    async def generate(
        self,
        call: Call,
        data: InvoiceInput,
        invoices: NamedDependency[Invoices],
        documents: NamedDependency[Renderer],
        storage: NamedDependency[Storage],
        links: NamedDependency[Links],
    ) -> Answer[InvoiceAnswer]:
        """Issue the invoice of a payment, or the credit note of its latest refund, as a PDF.

        An invoice asked for again is the same one with a fresh link. Each refund gets one credit note.
        """
        call.note(kind=data.kind, payment=data.payment_id)
        request = InvoiceRequest(**msgspec.structs.asdict(data))
        invoice, link = await issue_document(call.context, request, invoices, documents, storage, links)
        call.note(
            invoice=invoice.invoice_id,
            number=invoice.number,
            amount=invoice.total_cents,
            currency=invoice.currency,
            link=link.link_id,
            reused=str(invoice.reused).lower(),
        )
        answer = InvoiceAnswer(
            ok=True,
            request_id=call.context.request_id,
            invoice_id=invoice.invoice_id,
            number=invoice.number,
            signed_url=link.url(call.base_url),
            reused=invoice.reused,
        )
        return Answer(msgspec.json.encode(answer))
