"""The endpoints as one page of plain HTML that needs nothing from elsewhere."""

import hashlib
import inspect
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape

import msgspec

from src.http.call import Access
from src.http.endpoint import Endpoint

STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#f3f3f0;padding:.1rem .3rem}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}h2{border-top:1px solid #ccc;padding-top:1rem}"
)
# Its own style and nothing else: no script, no picture, no form, no frame around it.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)


def page(endpoints: Iterable[Endpoint]) -> str:
    sections = "".join(_section(endpoint) for endpoint in endpoints)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>ecoTrips Ops API</title><style>{STYLE}</style>"
        "<h1>ecoTrips Ops API</h1><p>The same as a document: <a href=/schema/openapi.json>/schema/openapi.json</a>.</p>"
        f"{sections}</html>"
    )


def _section(endpoint: Endpoint) -> str:
    text = escape(inspect.getdoc(endpoint.fn) or "").replace("\n\n", "<p>")
    who = endpoint.access.value if isinstance(endpoint.access, Access) else "decided by the switches in force"
    rows = "".join(_row(name, field) for name, field in _fields(endpoint.input))
    table = f"<table><tr><th>field<th>type<th>meaning</tr>{rows}</table>" if rows else ""
    title = f"<h2 id={endpoint.name}>{endpoint.method} /functions/v1/{endpoint.name}</h2>"
    return f"{title}<p>{text}<p>Caller: {escape(who)}.{table}"


def _fields(kind: type[msgspec.Struct] | None) -> list[tuple[str, Mapping[str, object]]]:
    if kind is None:
        return []
    return list(msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"].items())


def _row(name: str, field: Mapping[str, object]) -> str:
    shown = _without_null(field)
    values = shown.get("enum")
    kind = (
        "|".join(map(str, values)) if isinstance(values, list) else shown.get("format") or shown.get("type", "object")
    )
    meaning = escape(str(shown.get("description", "")))
    return f"<tr><td><code>{escape(name)}</code><td>{escape(str(kind))}<td>{meaning}</tr>"


def _without_null(field: Mapping[str, object]) -> Mapping[str, object]:
    options = field.get("anyOf")
    if not isinstance(options, list):
        return field
    return next(option for option in options if option.get("type") != "null")
