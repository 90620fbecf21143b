"""Hints: the nearest names, at a bounded cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.rest.catalog import fuzzy
from src.rest.catalog.fuzzy import edit_distance, nearest

TEXTS = st.text(alphabet="abcé_", max_size=80)


def by_table(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != wanted))
    return row[-1]


@given(TEXTS, TEXTS)
def test_the_distance_is_levenshteins(one: str, other: str) -> None:
    assert edit_distance(one, other) == by_table(one, other)


def test_the_nearest_of_many_names_is_found() -> None:
    names = [f"list_{word}" for word in ("bookings", "payments", "permits", "payouts")]
    assert nearest("list_payment", names) == "list_payments"
    assert nearest("LIST_PERMITS", names) == "list_permits"
    assert nearest("nothing alike", names, 0.75) is None


@pytest.mark.parametrize(
    ("name", "known"),
    [("a" * 253, ["a" * 252]), ("a" * 252, ["a" * 253]), ("abc", [f"abc{number}" for number in range(501)])],
)
def test_no_long_name_is_compared_and_none_with_thousands(
    name: str, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzy, "edit_distance", None)
    assert nearest(name, known) is None
