"""Settings by which SQL functions read the request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import attrgetter

from src.rest.protocol.request import Request, text_of


def _path(request: Request) -> str:
    return f"/{request.path.removeprefix('/')}"


def _headers(request: Request) -> str:
    headers = {name.decode("latin-1"): text_of(value) for name, value in request.headers if name != b"cookie"}
    return json.dumps(headers, ensure_ascii=False)


def _cookies(request: Request) -> str:
    cookies = [part.strip().partition("=") for header in request.all(b"cookie") for part in header.split(";")]
    return json.dumps({name: value for name, _, value in cookies if name}, ensure_ascii=False)


# The last parts of the settings' names; headers and cookies are JSON.
OF_REQUEST: Mapping[str, Callable[[Request], str]] = {
    "method": attrgetter("method"),
    "path": _path,
    "headers": _headers,
    "cookies": _cookies,
}


def of_request(request: Request) -> list[tuple[str, str]]:
    """The settings of a request with their values."""
    return [(f"request.{name}", value_of(request)) for name, value_of in OF_REQUEST.items()]
