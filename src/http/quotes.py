"""`bff-quote` (docs/api.md, Small services)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from src.domain.quotes import QuoteItem, total
from src.http.decode import from_body
from src.http.endpoint import Answer, Call, Endpoint
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


def endpoints() -> list[Endpoint]:
    async def quote(call: Call) -> Answer:
        """Add up priced items of one currency."""
        asked = from_body(ItemsQuoteInput, call.body)
        priced = [QuoteItem(item.price_cents, item.quantity, item.currency) for item in asked.items]
        sum_cents, currency = total(priced)
        call.note(items=len(priced), amount=sum_cents, currency=currency)
        items = [
            QuotedItem(item.price_cents, item.quantity, item.currency, item.total_cents, given.description)
            for item, given in zip(priced, asked.items, strict=True)
        ]
        answer = ItemsQuoteAnswer(
            ok=True, request_id=call.context.request_id, quote=ItemsQuote(sum_cents, currency, items)
        )
        return Answer(msgspec.json.encode(answer))

    return [Endpoint("bff-quote", "quote.create", quote, ItemsQuoteInput, ItemsQuoteAnswer, keyed=False)]
