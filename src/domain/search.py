"""Searching places by typed text (docs/api.md, Places)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from src.domain.context import Context
from src.domain.errors import Unavailable

if TYPE_CHECKING:
    from src.ports.search import SearchIndex


@dataclass(frozen=True, slots=True)
class PlacesQuery:
    """What was typed, its last word perhaps unfinished, and how many places to answer."""

    query: str
    limit: int = 5


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the catalogue; `popularity` (0 to 999) orders what matches equally well.

    `meant` pairs what was typed with a typo and the words of the place that it stands for, all folded.
    """

    slug: str
    entity_type: str
    entity_id: str
    title: str
    subtitle: str | None = None
    keywords: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    popularity: int = 0
    score: float = 0
    meant: Sequence[tuple[str, str]] = ()

    def __hash__(self) -> int:
        """The slug is unique."""
        return hash(self.slug)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best places first; when nothing fits (`found` False), the most popular ones."""

    found: bool
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Suggestions:
    """An answer with its source: catalog, or fixtures in its place."""

    found: bool
    places: Sequence[Place]
    source: str

    @property
    def fallback(self) -> bool:
        return self.source != "catalog"


@dataclass(frozen=True, slots=True)
class Populated:
    """How many places were added or brought up to date."""

    seeded: int


async def search_places(
    context: Context, query: PlacesQuery, catalog: SearchIndex, fixtures: SearchIndex, *, offline: bool
) -> Suggestions:
    """Suggestions by the database's ranking; from the fixtures when it is away or holds no place.

    Offline the database holds the fixtures, so the source is the same either way.
    """
    try:
        answer = await catalog.search(context, query)
    except Unavailable:
        answer = SearchResult(found=False, places=())
    source = "fixtures" if offline or not answer.places else "catalog"
    if not answer.places:
        answer = await fixtures.search(context, query)
    return Suggestions(answer.found, answer.places, source)
