"""Cached places, over a catalogue that changes."""

from __future__ import annotations

import pytest

from src.adapters.resilience import cached_places
from src.adapters.resilience.cached_places import CachedPlaces
from src.adapters.resilience.ttl_cache import TtlCache
from src.domain.context import Context
from src.domain.search import Place
from tests.conftest import ANONYMOUS_CONTEXT
from tests.support.suppliers import KIGALI


class Catalogue:
    """Knows `known` places and how often it was asked."""

    def __init__(self, **known: Place) -> None:
        self.known = known
        self.asked = 0

    async def locate(self, _context: Context, name: str) -> Place | None:
        self.asked += 1
        return self.known.get(name)


async def test_a_known_place_is_asked_for_once() -> None:
    catalogue = Catalogue(Kigali=KIGALI)
    cached = CachedPlaces(catalogue)
    assert [await cached.locate(ANONYMOUS_CONTEXT, "Kigali") for _ in range(3)] == [KIGALI] * 3
    assert catalogue.asked == 1


async def test_an_unknown_place_is_found_as_soon_as_it_is_added() -> None:
    catalogue = Catalogue()
    cached = CachedPlaces(catalogue)
    assert await cached.locate(ANONYMOUS_CONTEXT, "Kigali") is None
    catalogue.known["Kigali"] = KIGALI
    assert await cached.locate(ANONYMOUS_CONTEXT, "Kigali") == KIGALI


async def test_a_place_whose_time_is_over_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_places, "FRESH_SECONDS", 0)
    catalogue = Catalogue(Kigali=KIGALI)
    cached = CachedPlaces(catalogue)
    await cached.locate(ANONYMOUS_CONTEXT, "Kigali")
    catalogue.known.clear()
    assert await cached.locate(ANONYMOUS_CONTEXT, "Kigali") is None


def test_a_full_cache_evicts_the_oldest_entry() -> None:
    cache: TtlCache[str, int] = TtlCache(2)
    for number, key in enumerate("abac"):
        cache.put(key, number, 60)
    assert [cache.get(key) for key in "abc"] == [2, None, 3]
