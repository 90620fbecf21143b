"""Negotiates the media type: the first acceptable one that can be made."""

from __future__ import annotations

from src.rest.catalog.model import Catalog, Name
from src.rest.errors import unacceptable_media
from src.rest.protocol.media import JSON, SINGULAR_KINDS, Media, MediaType, parse_media_type
from src.rest.sql.statements import Handler

FIXED = SINGULAR_KINDS | {Media.ARRAY_STRIPPED}
BUILT_IN = frozenset({Media.JSON, Media.CSV, Media.GEOJSON})


def negotiate(
    catalog: Catalog,
    target: Name,
    accepted: tuple[MediaType, ...],
    *,
    all_columns: bool,
    plans: bool,
    streams: bool = False,
) -> tuple[Handler, MediaType]:
    """The handler and media type of the body. Raises RestError PGRST107.

    Handlers of a relation apply only to its whole rows (`all_columns`). `streams`: rows may be sent one by one.
    """
    for media in accepted:
        if media.kind is Media.PLAN:
            subject = media.subject or JSON
            found = _handler(catalog, target, subject, all_columns=all_columns) if plans else None
            if found is not None:
                return found[0], media
            continue
        if media.kind is Media.NDJSON and streams:
            return Handler(Media.NDJSON), media
        found = _handler(catalog, target, media, all_columns=all_columns)
        if found is not None:
            return found
    raise unacceptable_media([media.name for media in accepted])


def _handler(
    catalog: Catalog, target: Name, media: MediaType, *, all_columns: bool
) -> tuple[Handler, MediaType] | None:
    if media.kind in FIXED:
        return Handler(media.kind), media
    name = media.name.lower()
    for relation, wanted in ((target, "*/*"), (target, name), (None, name)):
        custom = catalog.handlers.get((relation, wanted))
        if custom is not None and (relation is None or all_columns):
            made = parse_media_type(custom.media)
            return (Handler(Media.OTHER) if custom.by_type else Handler(None, custom.function, relation)), made
    if media.kind is Media.ANY:
        return Handler(Media.JSON), JSON
    return (Handler(media.kind), media) if media.kind in BUILT_IN else None
