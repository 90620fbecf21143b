"""`fin-ledger-append` (docs/api.md, Finance)."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.errors import InputInvalid
from src.domain.ledger import Fact
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.http.fields import AmountCents, Currency
from src.ports.ledger import Ledger


class FactInput(msgspec.Struct, frozen=True):
    payment_id: Annotated[UUID, Meta(description="The payment")]
    entry_type: Annotated[
        Literal[
            "intent_created",
            "capture_succeeded",
            "capture_failed",
            "refund_succeeded",
            "refund_failed",
            "dispute_opened",
            "dispute_closed",
            "fee_charged",
        ],
        Meta(description="What happened at the provider"),
    ]
    amount_cents: AmountCents
    provider_ref: Annotated[
        str,
        Meta(
            pattern="^[!-~]{1,255}$",
            description="The provider's id of it: its idempotency key",
            extra={"message": "provider_ref must be between 1 and 255 visible ASCII characters"},
        ),
    ]
    currency: Currency | None = None
    occurred_at: Annotated[datetime, Meta(tz=True, description="The provider's time; default now")] | None = None
    note: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Za-z0-9_.:-]{1,64}$",
                description="A code; won or lost for dispute_closed",
                extra={"message": "note must be a code of at most 64 letters, digits and _.:-"},
            ),
        ]
        | None
    ) = None


class FactAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    entry_id: str
    seq: int
    payment_id: str
    entry_type: str
    amount_cents: int
    currency: str
    occurred_at: str
    provider_ref: str
    hash: str


class LedgerController(Controller):
    @endpoint(
        "fin-ledger-append",
        audit="fin.ledger.append",
        access=Access.SERVICE,
        per_minute=None,
        atomic=True,
        errors=(404, 409),
        functions=("public.append_ledger_entry",),
    )
    async def append(self, call: Call, data: FactInput, ledger: NamedDependency[Ledger]) -> Answer[FactAnswer]:
        """Record by hand what happened to a payment at the provider, with the effect its event would have had.

        `provider_ref` is the idempotency key: the same fact again gives the first row, a differing one is a conflict.
        """
        call.note(payment=data.payment_id, type=data.entry_type, amount=data.amount_cents)
        if data.entry_type == "dispute_closed" and data.note not in (None, "won", "lost"):
            message = "note must be won|lost"
            raise InputInvalid(message)
        recorded = await ledger.append(call.context, Fact(**msgspec.structs.asdict(data)))
        call.note(entry=recorded.value.entry_id, seq=recorded.value.seq)
        return Answer(recorded.body)
