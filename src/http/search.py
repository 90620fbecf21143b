"""`search-places` and `search-index-populate` (docs/api.md, Places)."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from src.domain.search import Place, PlacesQuery, search_places
from src.domain.search_folding import words
from src.domain.search_highlights import highlights
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.ports.search import PlaceStore, SearchIndex
from src.ports.switches import Switches


class PlacesInput(msgspec.Struct, frozen=True):
    query: Annotated[
        str, Meta(max_length=120, description="What was typed so far; empty: the most popular", examples=["kigali"])
    ]
    limit: Annotated[int, Meta(ge=1, le=12, description="Places to answer", examples=[5])] = 5


class PlaceMatch(msgspec.Struct, frozen=True, omit_defaults=True):
    field: Annotated[str, Meta(description="title, subtitle or keywords")]
    terms: Annotated[Sequence[str], Meta(description="The typed words, one for each range")]
    ranges: Annotated[
        Sequence[tuple[int, int]], Meta(description="Start and length in Unicode code points of the field's text")
    ]
    index: Annotated[int, Meta(description="Which keyword, from 0")] | UnsetType = UNSET


class PlaceItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    slug: str
    entity_type: str
    entity_id: str
    title: str
    subtitle: str | UnsetType = UNSET
    keywords: Sequence[str]
    metadata: msgspec.Raw
    score: Annotated[float, Meta(description="Orders this answer's items; greater is better")]
    matches: Sequence[PlaceMatch]


class PlacesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool = True
    request_id: str
    requestId: str  # noqa: N815 - published clients read both spellings
    query: str
    items: Sequence[PlaceItem]
    source: str
    fallback: bool


class PopulateInput(msgspec.Struct, frozen=True):
    """No fields: the curated places are the service's own."""


class PopulateAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    requestId: str  # noqa: N815 - published clients read both spellings
    seeded: int
    source: str
    fallback: bool


class SearchController(Controller):
    @endpoint("search-places", audit="search.places", functions=("public.search_places",))
    async def search_places(
        self,
        call: Call,
        data: PlacesInput,
        search: NamedDependency[SearchIndex],
        fixture_search: NamedDependency[SearchIndex],
        switches: NamedDependency[Switches],
    ) -> Answer[PlacesAnswer]:
        """Suggest places while a person types.

        The last word may be unfinished; accents, case and the order of words do not matter. One typo is forgiven from
        five letters, two from nine. When nothing fits, the most popular places come with empty matches.
        """
        offline = await switches.value("USE_FIXTURES") == "1"
        query = PlacesQuery(data.query, data.limit)
        answer = await search_places(call.context, query, search, fixture_search, offline=offline)
        call.note(results=len(answer.places), found=answer.found, source=answer.source, fallback=answer.fallback)
        typed = [word.text for word in words(data.query)] if answer.found else []
        body = PlacesAnswer(
            request_id=call.context.request_id,
            requestId=call.context.request_id,
            query=data.query,
            items=[_item(place, typed) for place in answer.places],
            source=answer.source,
            fallback=answer.fallback,
        )
        return Answer(msgspec.json.encode(body))

    @endpoint(
        "search-index-populate",
        audit="search.populate",
        access=Access.SERVICE,
        per_minute=None,
        functions=("public.populate_search_index",),
    )
    async def populate(
        self,
        call: Call,
        data: PopulateInput,  # noqa: ARG002 - it has no fields
        search: NamedDependency[PlaceStore],
        curated_places: NamedDependency[Sequence[Place]],
    ) -> Answer[PopulateAnswer]:
        """Bring the curated places into the catalogue; those of the same slug are brought up to date."""
        populated = await search.populate(call.context, curated_places)
        call.note(seeded=populated.value.seeded, source="fixtures", fallback=False)
        return Answer(populated.body)


def _item(place: Place, typed: Sequence[str]) -> PlaceItem:
    return PlaceItem(
        slug=place.slug,
        entity_type=place.entity_type,
        entity_id=place.entity_id,
        title=place.title,
        subtitle=place.subtitle or UNSET,
        keywords=place.keywords,
        metadata=msgspec.Raw(msgspec.json.encode(place.metadata)),
        score=place.score,
        matches=[
            PlaceMatch(m.field, m.terms, m.ranges, UNSET if m.index is None else m.index)
            for m in highlights(place, typed)
        ],
    )
