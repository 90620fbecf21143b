"""Adds up priced items."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.domain.errors import InputInvalid


@dataclass(frozen=True, slots=True)
class PricedItem:
    """An item: unit price in minor units, quantity, ISO 4217 code."""

    price_cents: int
    quantity: int
    currency: str

    @property
    def total_cents(self) -> int:
        return self.price_cents * self.quantity


def total(items: Sequence[PricedItem]) -> tuple[int, str]:
    """The sum and its currency. Raises InputInvalid for several currencies: nothing is converted silently."""
    currencies = {item.currency for item in items}
    if len(currencies) > 1:
        message = f"items must share one currency, not {', '.join(sorted(currencies))}"
        raise InputInvalid(message)
    return sum(item.total_cents for item in items), currencies.pop()
