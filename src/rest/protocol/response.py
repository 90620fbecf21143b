"""Makes the HTTP answer from the database's result: status, headers, body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from src.edge.json_size import require_within
from src.edge.limits import OF_BODIES
from src.rest.catalog.model import Returns
from src.rest.errors import Headers, bad_guc_headers, bad_guc_status, bad_range
from src.rest.protocol.media import Media
from src.rest.protocol.preferences import NO_PREFERENCES, applied
from src.rest.protocol.prepared import Prepared, ResultSet
from src.rest.protocol.request import ActionKind, Job
from src.rest.query.query_string import encoded, parameter
from src.rest.query.ranges import content_range, status_of

CACHEABLE = (200, 206)
TAG_DIGITS = 32
# Below this size hashlib keeps the GIL, because releasing it costs more than hashing a page. Larger bodies are hashed
# without the GIL.
KEEPS_LOCK = 2047
LARGE = 64 * 1024
VARY = ("Vary", "Accept, Prefer, Range")
WARNING = (
    "Embedded resource was referenced by relation name even though it has an alias. "
    "This is deprecated and will stop working in a future release. Update {} in query string filters, orders or limits."
)


class Response(NamedTuple):
    """A finished answer; `reason` is a status text of the database."""

    status: int
    headers: Headers
    body: bytes = b""
    reason: str | None = None


def respond(job: Job, prepared: Prepared, result: ResultSet) -> Response:
    """The answer of a read, write or call. Raises RestError for invalid GUCs."""
    if prepared.media.kind is Media.PLAN:
        return Response(200, [_length(result.body), *_content_type(job, prepared)], result.body)
    status, headers, body = _COMPOSE[job.action.kind](job, prepared, result)
    if prepared.warnings:
        change = ", ".join(f"`{name}` to `{alias}`" for name, alias in prepared.warnings)
        headers.append(("Warning", f'299 PostgREST "{WARNING.format(change)}"'))
    tagged = job.action.by_get and bool(body)
    if result.guc_status is None and result.guc_headers is None:
        headers.append(VARY)
    else:
        status, headers = _overridden(status, headers, result)
        names = {name.lower() for name, _ in headers}
        if "vary" not in names:
            headers.append(VARY)
        tagged = tagged and "etag" not in names
    if tagged and status in CACHEABLE:
        return _conditional(job, Response(status, headers, body))
    return Response(status, headers, body)


def _conditional(job: Job, response: Response) -> Response:
    """The answer with its entity tag, or 304 when the client has it."""
    body = response.body
    # The tag covers range and total, too, as equal rows may have others.
    digest = sha256(f"{response.headers[0][1]} {response.headers[-1][1]}".encode())
    piece = KEEPS_LOCK if len(body) <= LARGE else len(body)
    for start in range(0, len(body), piece):
        digest.update(body[start : start + piece])
    tag = f'"{digest.hexdigest()[:TAG_DIGITS]}"'
    asked = job.request.header(b"if-none-match")
    if asked is not None and any(known.strip().removeprefix("W/") in (tag, "*") for known in asked.split(",")):
        kept = [(name, value) for name, value in response.headers if name not in ("Content-Length", "Content-Type")]
        return Response(304, [*kept, ("ETag", tag)])
    response.headers.append(("ETag", tag))
    return response


Parts = tuple[int, Headers, bytes]


def _read(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    first = job.query.range.offset
    last = first + result.page_total - 1
    status = status_of(first, last, result.total)
    headers: Headers = [("Content-Range", content_range(first, last, result.total))]
    location = job.query.location
    if location is not None:
        path = f"/{encoded(job.action.name.name)}"
        headers.append(("Content-Location", f"{path}?{location}" if location else path))
    body = _page_body(job, result, status)
    if not job.action.head:
        headers.append(_length(body))
    headers += _content_type(job, prepared)
    headers += _applied(job, "count", "tx", "handling", "timezone")
    return status, headers, body


def _page_body(job: Job, result: ResultSet, status: int) -> bytes:
    if status == 416:  # noqa: PLR2004 - an HTTP status
        details = f"An offset of {job.query.range.offset} was requested, but there are only {result.total or 0} rows."
        return bad_range(details).body()
    return b"" if job.action.head else result.body


def _create(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    preferences = job.preferences
    headers: Headers = []
    key = prepared.table.primary_key if prepared.table is not None else ()
    if result.location:
        query = "&".join(_located(pair, key) for pair in result.location)
        headers.append(("Location", f"/{encoded(job.action.name.name)}?{query}"))
    headers.append(("Content-Range", content_range(1, 0, result.page_total if preferences.counts else None)))
    table = prepared.table
    keyed = (table is not None and bool(table.primary_key)) or job.query.plan.on_conflict is not None
    names = ["missing", "return", "count", "tx", "handling", "timezone"]
    headers += _applied(job, *names, *(["resolution"] if keyed else []))
    merged = preferences.resolution == "merge-duplicates" and (result.inserted or 0) <= 0
    status = 200 if merged else 201
    if preferences.representation == "representation":
        return status, [*headers, *_content_type(job, prepared), _length(result.body)], result.body
    return status, [*headers, _length(b"")], b""


def _located(pair: str, key: Sequence[str]) -> str:
    """`column=eq.value` for a key's column, whose name may contain `=`."""
    column = max((name for name in key if pair.startswith(f"{name}=")), key=len)
    return f"{parameter(column)}={encoded(pair[len(column) + 1 :])}"


def _update(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    total = result.page_total if job.preferences.counts else None
    headers: Headers = [("Content-Range", content_range(0, result.page_total - 1, total))]
    headers += _applied(job, "missing", "return", "count", "tx", "handling", "timezone", "max-affected")
    return _represented(job, prepared, result, headers)


def _upsert(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    headers = _applied(job, "return", "count", "tx", "handling", "timezone")
    status, headers, body = _represented(job, prepared, result, headers)
    if status == 200 and (result.inserted or 0) > 0:  # noqa: PLR2004 - an HTTP status
        status = 201
    return status, headers, body


def _delete(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    total = result.page_total if job.preferences.counts else None
    headers: Headers = [("Content-Range", content_range(1, 0, total))]
    headers += _applied(job, "return", "count", "tx", "handling", "timezone", "max-affected")
    return _represented(job, prepared, result, headers)


def _represented(job: Job, prepared: Prepared, result: ResultSet, headers: Headers) -> Parts:
    if job.preferences.representation != "representation":
        return 204, headers, b""
    return 200, [*headers, _length(result.body), *_content_type(job, prepared)], result.body


def _call(job: Job, prepared: Prepared, result: ResultSet) -> Parts:
    first = job.query.range.offset
    last = first + result.page_total - 1
    status = status_of(first, last, result.total)
    headers: Headers = [("Content-Range", content_range(first, last, result.total))]
    headers += _applied(job, "count", "tx", "handling", "timezone", "max-affected")
    if prepared.returns is Returns.VOID:
        return 204, headers, b""
    body = _page_body(job, result, status)
    if not job.action.head:
        headers.append(_length(body))
    return status, [*headers, *_content_type(job, prepared)], body


_COMPOSE = {
    ActionKind.READ: _read,
    ActionKind.CREATE: _create,
    ActionKind.UPDATE: _update,
    ActionKind.UPSERT: _upsert,
    ActionKind.DELETE: _delete,
    ActionKind.CALL: _call,
}


def _length(body: bytes) -> tuple[str, str]:
    return "Content-Length", str(len(body))


def _content_type(job: Job, prepared: Prepared) -> Headers:
    headers: Headers = [("Content-Type", prepared.media.content_type)]
    if job.action.negotiated:
        headers.append(("Content-Profile", job.action.name.schema))
    return headers


def _applied(job: Job, *names: str) -> Headers:
    if job.preferences is NO_PREFERENCES:
        return []
    value = applied(job.preferences, *names)
    return [("Preference-Applied", value)] if value else []


def _overridden(status: int, headers: Headers, result: ResultSet) -> tuple[int, Headers]:
    """Applies the status and headers that the database chose."""
    if result.guc_status is not None:
        digits = result.guc_status.lstrip()[:3]
        if not digits.isdecimal():
            raise bad_guc_status()
        status = int(digits)
    if result.guc_headers is None:
        return status, headers
    chosen = _guc_headers(result.guc_headers)
    names = {name.lower() for name, _ in chosen}
    return status, [*((name, value) for name, value in headers if name.lower() not in names), *chosen]


def _guc_headers(text: str) -> Headers:
    try:
        require_within(text.encode(), OF_BODIES)
        items = json.loads(text)
    except ValueError:
        raise bad_guc_headers() from None
    if not isinstance(items, list):
        raise bad_guc_headers()
    chosen: Headers = []
    for item in items:
        if not isinstance(item, dict) or len(item) != 1:
            raise bad_guc_headers()
        name, value = next(iter(item.items()))
        if not isinstance(value, str) or not _is_token(name) or "\n" in value or "\r" in value:
            raise bad_guc_headers()
        chosen.append((name, value))
    return chosen


def _is_token(name: str) -> bool:
    return bool(name) and all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in name)


def allowed(*methods: str) -> Response:
    """The answer to OPTIONS."""
    return Response(200, [("Content-Length", "0"), ("Allow", ",".join(methods))])


def allowed_to_all(*methods: str) -> Response:
    """PostgREST's answer to OPTIONS, which pages of every origin may read."""
    answer = allowed(*methods)
    answer.headers.insert(1, ("Access-Control-Allow-Origin", "*"))
    return answer
