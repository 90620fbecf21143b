"""`bff-quote` (docs/api.md, Small services)."""

from typing import Annotated

import msgspec
from litestar import Controller
from msgspec import Meta

from src.domain.quotes import PricedItem, total
from src.http.call import Answer, Call
from src.http.endpoint import endpoint
from src.http.fields import Currency

Text = Annotated[str, Meta(max_length=200)]


class ItemInput(msgspec.Struct, frozen=True):
    price_cents: Annotated[
        int, Meta(ge=0, le=1_000_000_000_000, description="Unit price, minor units", examples=[12000])
    ]
    quantity: Annotated[int, Meta(ge=1, le=10_000, description="How many", examples=[2])] = 1
    currency: Currency = "USD"
    description: Text | None = None


class ItemsQuoteInput(msgspec.Struct, frozen=True):
    items: Annotated[list[ItemInput], Meta(min_length=1, max_length=100)]


class QuotedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    price_cents: int
    quantity: int
    currency: str
    total_cents: int
    description: str | None = None


class ItemsQuote(msgspec.Struct, frozen=True):
    total_cents: int
    currency: str
    items: list[QuotedItem]


class ItemsQuoteAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    quote: ItemsQuote


class QuotesController(Controller):
    @endpoint("bff-quote", audit="quote.create", keyed=False)
    async def quote(self, call: Call, data: ItemsQuoteInput) -> Answer[ItemsQuoteAnswer]:
        """Add up priced items of one currency."""
        priced = [PricedItem(item.price_cents, item.quantity, item.currency) for item in data.items]
        sum_cents, currency = total(priced)
        call.note(items=len(priced), amount=sum_cents, currency=currency)
        items = [
            QuotedItem(item.price_cents, item.quantity, item.currency, item.total_cents, given.description)
            for item, given in zip(priced, data.items, strict=True)
        ]
        answer = ItemsQuoteAnswer(
            ok=True, request_id=call.context.request_id, quote=ItemsQuote(sum_cents, currency, items)
        )
        return Answer(msgspec.json.encode(answer))
