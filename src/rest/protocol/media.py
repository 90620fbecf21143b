"""Media types of requests and answers, and the Accept header."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

PLAN_OPTIONS = ("analyze", "verbose", "settings", "buffers", "wal")
HEAD = re.compile(r"^([A-Za-z0-9.*]+)/([A-Za-z0-9.*+-]+)")
PARAMETER = re.compile(r'\s*;\s*([A-Za-z0-9-]+)\s*=\s*(?:"([^"]*)"|([A-Za-z0-9|-]+))')


class Media(Enum):
    """How a body is made; OTHER types are made by functions of the database."""

    JSON = "application/json"
    GEOJSON = "application/geo+json"
    CSV = "text/csv"
    TEXT = "text/plain"
    XML = "text/xml"
    OPENAPI = "application/openapi+json"
    FORM = "application/x-www-form-urlencoded"
    OCTETS = "application/octet-stream"
    NDJSON = "application/x-ndjson"
    ANY = "*/*"
    OTHER = ""
    ARRAY_STRIPPED = "application/vnd.pgrst.array+json;nulls=stripped"
    SINGULAR = "application/vnd.pgrst.object+json"
    SINGULAR_STRIPPED = "application/vnd.pgrst.object+json;nulls=stripped"
    PLAN = "application/vnd.pgrst.plan"


PLAIN = {kind.value: kind for kind in Media if kind.value and ";" not in kind.value and kind is not Media.PLAN}
SINGULAR_KINDS = frozenset({Media.SINGULAR, Media.SINGULAR_STRIPPED})


@dataclass(frozen=True, slots=True)
class MediaType:
    """`name` is the type as a database names it; `subject` is what a plan explains."""

    kind: Media
    name: str
    plan_format: str = ""
    plan_options: tuple[str, ...] = ()
    subject: MediaType | None = None
    content_type: str = field(init=False)

    def __post_init__(self) -> None:
        # Computed once for a shape of request, not for each answer.
        as_it_is = self.kind in (Media.OCTETS, Media.OTHER)
        object.__setattr__(self, "content_type", self.name if as_it_is else f"{self.name}; charset=utf-8")


JSON = MediaType(Media.JSON, Media.JSON.value)
OPENAPI = MediaType(Media.OPENAPI, Media.OPENAPI.value)
ANY = MediaType(Media.ANY, "*/*")


@lru_cache(1024)
def parse_media_type(text: str) -> MediaType:
    """Parses a media type; unknown ones are kept as they are."""
    head = HEAD.match(text)
    name = head[0].lower() if head else ""
    parameters: dict[str, str] = {}
    position = head.end() if head else 0
    while match := PARAMETER.match(text, position):
        parameters.setdefault(match[1].lower(), match[2] if match[2] is not None else match[3])
        position = match.end()
    stripped = parameters.get("nulls") == "stripped"
    if name in ("application/vnd.pgrst.object+json", "application/vnd.pgrst.object"):
        return _of(Media.SINGULAR_STRIPPED if stripped else Media.SINGULAR)
    if name in ("application/vnd.pgrst.array+json", "application/vnd.pgrst.array"):
        return _of(Media.ARRAY_STRIPPED if stripped else Media.JSON)
    base, _, suffix = name.partition("+")
    if base == Media.PLAN.value and suffix in ("", "text", "json"):
        return _plan(parameters, suffix or "text")
    if name in PLAIN:
        return _of(PLAIN[name])
    return MediaType(Media.OTHER, text)


def _of(kind: Media) -> MediaType:
    return MediaType(kind, kind.value)


def _plan(parameters: dict[str, str], plan_format: str) -> MediaType:
    subject = parse_media_type(parameters.get("for", Media.JSON.value))
    asked = parameters.get("options", "").split("|")
    options = tuple(option for option in PLAN_OPTIONS if option in asked)
    name = f'{Media.PLAN.value}+{plan_format}; for="{subject.name}"'
    if options:
        name += f"; options={'|'.join(options)}"
    return MediaType(Media.PLAN, name, plan_format, options, subject)


@lru_cache(1024)
def parse_accept(header: str | None) -> tuple[MediaType, ...]:
    """The acceptable types, best first. Ties keep their order, but wildcards come last."""
    if header is None:
        return (ANY,)
    weighted = []
    for position, part in enumerate(_split(header)):
        text, weight = _weight(part)
        if text:
            media = parse_media_type(text)
            weighted.append((-weight, text.count("*"), position, media))
    weighted.sort(key=lambda entry: entry[:3])
    return tuple(entry[3] for entry in weighted if entry[0] < 0) or (ANY,)


def _split(header: str) -> list[str]:
    return [part.strip() for part in re.findall(r'(?:[^,"]|"[^"]*")+', header)]


def _weight(part: str) -> tuple[str, float]:
    match = re.search(r";\s*q=([0-9.]+)\s*(?=;|$)", part)
    if match is None:
        return part, 1.0
    try:
        return part[: match.start()] + part[match.end() :], float(match[1])
    except ValueError:
        return part, 1.0
