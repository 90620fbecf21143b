"""What priced things cost together."""

from __future__ import annotations

import pytest

from src.domain.errors import InputInvalid
from src.domain.quotes import PricedItem, total


def test_a_quote_is_the_sum_of_price_times_quantity() -> None:
    assert total([PricedItem(150000, 2, "USD"), PricedItem(999, 3, "USD"), PricedItem(0, 9, "USD")]) == (302997, "USD")


def test_several_currencies_have_no_sum() -> None:
    with pytest.raises(InputInvalid, match="one currency, not EUR, RWF, USD"):
        total([PricedItem(1, 1, currency) for currency in ("USD", "RWF", "EUR", "USD")])
