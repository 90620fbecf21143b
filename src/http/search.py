"""`search-places` and `search-index-populate` (docs/api.md, Places)."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from src.domain.search import Place, PlacesQuery, search_places
from src.domain.search_folding import words
from src.domain.search_highlights import highlights
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint
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


def endpoints(
    catalog: SearchIndex, fixtures: SearchIndex, store: PlaceStore, curated: Sequence[Place], switches: Switches
) -> list[Endpoint]:
    async def search(call: Call) -> Answer:
        """Suggest places while a person types.

        The last word may be unfinished; accents, case and the order of words do not matter. One typo is forgiven from
        five letters, two from nine. When nothing fits, the most popular places come with empty matches.
        """
        asked = from_body(PlacesInput, call.body)
        offline = await switches.value("USE_FIXTURES") == "1"
        query = PlacesQuery(asked.query, asked.limit)
        answer = await search_places(call.context, query, catalog, fixtures, offline=offline)
        call.note(results=len(answer.places), found=answer.found, source=answer.source, fallback=answer.fallback)
        typed = [word.text for word in words(asked.query)] if answer.found else []
        body = PlacesAnswer(
            request_id=call.context.request_id,
            requestId=call.context.request_id,
            query=asked.query,
            items=[_item(place, typed) for place in answer.places],
            source=answer.source,
            fallback=answer.fallback,
        )
        return Answer(msgspec.json.encode(body))

    async def populate(call: Call) -> Answer:
        """Bring the curated places into the catalogue; those of the same slug are brought up to date."""
        from_body(PopulateInput, call.body)
        populated = await store.populate(call.context, curated)
        call.note(seeded=populated.seeded, source="fixtures", fallback=False)
        return Answer(populated.body)

    return [
        Endpoint(
            "search-places",
            "search.places",
            search,
            PlacesInput,
            PlacesAnswer,
            per_minute=60,
            functions=("public.search_places",),
        ),
        Endpoint(
            "search-index-populate",
            "search.populate",
            populate,
            PopulateInput,
            PopulateAnswer,
            access=Access.SERVICE,
            functions=("public.populate_search_index",),
            per_minute=None,
        ),
    ]


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
