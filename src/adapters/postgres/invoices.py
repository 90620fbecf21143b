from collections.abc import Sequence
from uuid import UUID

from src.adapters.postgres.answers import decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.invoices import Invoice, InvoiceRequest


class PostgresInvoices:
    """Documents in fin.invoices, numbered by the day of `timezone`; with `facturx` new ones carry XML."""

    def __init__(self, database: Database, timezone: str, *, facturx: bool = False) -> None:
        self._database = database
        self._timezone = timezone
        self._facturx = facturx

    async def issue(self, context: Context, request: InvoiceRequest) -> Invoice:
        body = await self._database.call(
            context,
            "public.generate_invoice",
            **parameters(request),
            p_timezone=self._timezone,
            p_facturx=self._facturx,
        )
        return decoded(body, Invoice)

    async def record_document(self, context: Context, invoice_id: UUID, sha256: str) -> None:
        await self._database.call(context, "public.record_invoice_document", p_invoice_id=invoice_id, p_sha256=sha256)

    async def claim_to_render(self, context: Context, limit: int) -> Sequence[Invoice]:
        rows = await self._database.call(context, "fin.claim_invoices_to_render", p_limit=limit)
        return decoded(rows, list[Invoice])
