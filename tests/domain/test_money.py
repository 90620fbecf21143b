"""Digits of currencies, in the one place that knows them."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.hbx.supplier import HbxSupplier
from src.domain.money import plain

SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (350200, "RWF", "350200"),
        (25000, "USD", "250.00"),
        (-5, "EUR", "-0.05"),
        (1234567, "KWD", "1234.567"),
        (0, "USD", "0.00"),
    ],
)
def test_minor_units_are_shown_as_a_decimal_number(minor: int, currency: str, shown: str) -> None:
    assert plain(minor, currency) == shown


@pytest.mark.parametrize(("currency", "minor"), [("RWF", 101), ("USD", 10050), ("BHD", 100500), ("KMF", 101)])
def test_a_suppliers_price_is_kept_in_its_currencys_minor_units(currency: str, minor: int) -> None:
    supplier = HbxSupplier(HbxClient(HbxSettings()))
    assert supplier._cents(Decimal("100.5"), currency) == minor  # noqa: SLF001 - the whole adapter wants a server


def test_nobody_else_decides_by_a_currency() -> None:
    for file in (*SOURCE.rglob("*.py"), *SOURCE.rglob("*.typ")):
        assert not re.search(r"\bif \S*currency\b", file.read_text()), file
