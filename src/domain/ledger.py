"""Facts put into the ledger by hand, and what the provider says of the same money (docs/api.md, Finance)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.context import Context
from src.domain.errors import ProviderFailed

if TYPE_CHECKING:
    from src.ports.ledger import Ledger, ProviderTotals


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a payment. `provider_ref` is its idempotency key; `note` a code, never a text about people."""

    payment_id: UUID
    entry_type: str
    amount_cents: int
    provider_ref: str
    currency: str | None = None
    occurred_at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact as the ledger has it."""

    entry_id: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class Books:
    """What our books say of a live payment, in minor units; `given_back_cents` counts refunds still pending."""

    payment_id: UUID
    intent_id: str
    captured_cents: int
    given_back_cents: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An intent on which the provider and the books disagree.

    No books: they know nothing of it. No totals: the provider does not answer for it.
    """

    intent_id: str
    books: Books | None = None
    taken_cents: int | None = None
    given_back_cents: int | None = None
    error: str | None = None


async def reconcile(
    context: Context, since: datetime, ledger: Ledger, provider: ProviderTotals
) -> tuple[int, list[Difference]]:
    """How many live payments changed since then, in the books or at the provider, and where the two disagree.

    Raises ProviderFailed, ProviderUnknown when the provider cannot tell what changed there.
    """
    changed = await provider.changed(since)
    known = {books.intent_id: books for books in await ledger.live_books(context, since, changed)}
    differences = []
    compared = sorted({*known, *changed})
    for intent_id in compared:
        books = known.get(intent_id)
        try:
            taken, given_back = await provider.totals(intent_id)
        except ProviderFailed as failure:
            differences.append(Difference(intent_id, books, error=failure.code))
            continue
        if (taken, given_back) != ((books.captured_cents, books.given_back_cents) if books else (0, 0)):
            differences.append(Difference(intent_id, books, taken, given_back))
    return len(compared), differences
