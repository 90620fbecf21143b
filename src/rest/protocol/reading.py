"""Reads a whole request; faults are found in PostgREST's order."""

from __future__ import annotations

from src.edge.limits import SERVICE, Limits
from src.rest.errors import no_query, put_with_limit, too_much
from src.rest.protocol.media import JSON, Media, parse_accept, parse_media_type
from src.rest.protocol.payload import parse_payload
from src.rest.protocol.preferences import Preferences, parse_preferences
from src.rest.protocol.request import Action, ActionKind, Configuration, Job, Request, route
from src.rest.query.query_string import parse_query

WITH_BODY = frozenset({ActionKind.CREATE, ActionKind.UPDATE, ActionKind.UPSERT})


# Headers that are parsed.
READ_HEADERS = (
    b"accept",
    b"accept-profile",
    b"content-profile",
    b"content-type",
    b"if-none-match",
    b"prefer",
    b"range",
)


def read(configuration: Configuration, request: Request, limits: Limits = SERVICE) -> Job:
    """The request as a job. Raises RestError for invalid requests and beyond `limits`."""
    _require_short_headers(request, limits)
    preferences = parse_preferences(request.all(b"prefer"), may_end_transaction=configuration.may_end_transaction)
    action = route(configuration, request)
    raw_query, body = request.raw_query, request.body
    content_type = request.header(b"content-type")
    content = JSON if content_type is None else parse_media_type(content_type)
    if with_query_in_body(request, preferences):
        if body.strip() and content_type is not None and content.kind is not Media.FORM:
            raise no_query(content.name)
        kind = ActionKind.READ if action.kind is ActionKind.CREATE else action.kind
        action, raw_query, body = action._replace(kind=kind, by_get=True), _joined(raw_query, body), b""
    query = parse_query(
        raw_query,
        call=action.kind is ActionKind.ROUTINE_INFO or (action.kind is ActionKind.CALL and action.by_get),
        header_range=request.header(b"range") if request.method in ("GET", "QUERY") else None,
        limits=limits,
    )
    if action.kind is ActionKind.UPSERT and not query.range.everything:
        raise put_with_limit()
    payload = None
    if _has_body(action):
        columns = query.plan.columns if action.kind is not ActionKind.UPSERT else None
        payload = parse_payload(body, content, columns, call=action.kind is ActionKind.CALL, limits=limits)
    accept = parse_accept(request.header(b"accept"))
    return Job(request, action, query, preferences, accept, content, payload)


def with_query_in_body(request: Request, preferences: Preferences) -> bool:
    """Whether the body is a query string, for filters too long for a URL."""
    return request.method == "QUERY" or (request.method == "POST" and preferences.read)


def _require_short_headers(request: Request, limits: Limits) -> None:
    first = request.first
    for name in READ_HEADERS:
        if name in first and sum([len(value) for key, value in request.headers if key == name]) > limits.header:
            message = f"The header {name.decode()} may have at most {limits.header:,} bytes"
            raise too_much(message)


def _has_body(action: Action) -> bool:
    return action.kind in WITH_BODY or (action.kind is ActionKind.CALL and not action.by_get)


def _joined(raw_query: bytes, body: bytes) -> bytes:
    """The query string with the body's parameters."""
    return b"&".join(filter(None, (raw_query, body.strip())))
