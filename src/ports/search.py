from collections.abc import Sequence
from typing import Protocol

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.search import Place, PlacesQuery, Populated, SearchResult


class SearchIndex(Protocol):
    """Finds places by what a person types."""

    async def search(self, context: Context, query: PlacesQuery) -> SearchResult:
        """The best places first. Raises Unavailable when the database is away."""


class Places(Protocol):
    """Knows places by name."""

    async def locate(self, context: Context, name: str) -> Place | None:
        """The place of this very name or keyword, if it is known where it lies."""


class PlaceStore(Protocol):
    """Keeps the places that can be found."""

    async def populate(self, context: Context, places: Sequence[Place]) -> Answered[Populated]:
        """Add places, or bring those of the same slug up to date."""
