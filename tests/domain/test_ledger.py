"""Reconciliation: each intent that changed is compared once, and every disagreement is a row."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from src.domain.errors import ProviderFailed, ProviderUnknown
from src.domain.ledger import Books, Difference, reconcile
from src.ports.ledger import Ledger, ProviderTotals
from tests.conftest import SERVICE_CONTEXT
from tests.support.ports import NOW, Ports


def books(intent_id: str, captured: int, given_back: int = 0) -> Books:
    return Books(UUID(int=1), intent_id, captured, given_back)


def ledger(ports: Ports, *known: Books) -> Any:
    return ports.fake(Ledger, live_books=list(known))


def provider(ports: Ports, changed: object, *totals: object) -> Any:
    return ports.fake(ProviderTotals, changed=changed, totals=iter(totals))


async def test_where_both_say_the_same_there_is_no_difference() -> None:
    ports = Ports()
    both = ledger(ports, books("pi_1", 25000, 5000), books("pi_2", 0))
    compared = await reconcile(SERVICE_CONTEXT, NOW, both, provider(ports, {"pi_1"}, (25000, 5000), (0, 0)))
    assert compared == (2, [])
    assert ports.calls[1].arguments == {"since": NOW, "intent_ids": {"pi_1"}}
    assert [call.arguments["intent_id"] for call in ports.calls[2:]] == ["pi_1", "pi_2"]


async def test_every_disagreement_is_told_with_both_sides() -> None:
    ports = Ports()
    known = [books("pi_1", 25000), books("pi_2", 25000, 100), books("pi_3", 500)]
    asked = provider(ports, {"pi_4", "pi_5"}, (24999, 0), (25000, 0), ProviderFailed("no", "gone"), (1, 0), (0, 0))
    assert await reconcile(SERVICE_CONTEXT, NOW, ledger(ports, *known), asked) == (
        5,
        [
            Difference("pi_1", known[0], 24999, 0),
            Difference("pi_2", known[1], 25000, 0),
            Difference("pi_3", known[2], error="gone"),
            Difference("pi_4", None, 1, 0),
        ],
    )


async def test_without_the_providers_list_nothing_is_compared() -> None:
    ports = Ports()
    with pytest.raises(ProviderUnknown):
        await reconcile(SERVICE_CONTEXT, NOW, ledger(ports), provider(ports, ProviderUnknown("silence")))
    assert ports.asked == ["ProviderTotals.changed"]
