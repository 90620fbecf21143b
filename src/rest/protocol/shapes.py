"""Caches parsed reads that differ only in the values of their comparisons.

One regular expression splits a read into its outline, which is the key of the cache, and its values. The cached read
was parsed with a mark in place of each value, which shows where each value goes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import NamedTuple

from src.edge.limits import MAX_HEADER_SIZE
from src.rest.errors import RestError
from src.rest.protocol.reading import read
from src.rest.protocol.request import ActionKind, Configuration, Job, Request
from src.rest.query.query_string import Query, decoded, encoded

# Values of these operators extend to the end of the parameter, so they do not change how the rest is parsed.
COMPARISON = re.compile(rb"((?:^|&)[A-Za-z0-9_.]+=(?:not\.)?(?:eq|neq|gte?|lte?)\.)([^&]*)")
SPECIAL = re.compile(rb";|\0|%00")
# Marks are private use characters, which mean nothing in a query string.
FIRST_MARK = 0xE000
MAX_MARKS = 100
# In bytes, because outlines are cached.
MAX_OUTLINE_LENGTH = 1024


class Outline(NamedTuple):
    """`key` is equal for all requests of a shape, `texts` are their values, `pieces` the text around those."""

    key: Hashable
    texts: list[str]
    pieces: list[bytes]


def outline(request: Request) -> Outline | None:
    """None for a request that has to be parsed in full."""
    raw = request.raw_query
    if request.method not in ("GET", "HEAD") or len(raw) > MAX_HEADER_SIZE or SPECIAL.search(raw):
        return None
    pieces = COMPARISON.split(raw)
    try:
        texts = [decoded(piece.decode()) for piece in pieces[2::3]]
    except UnicodeDecodeError:
        return None
    del pieces[2::3]
    if sum(map(len, pieces)) > MAX_OUTLINE_LENGTH:
        return None
    header = request.first.get
    key = (
        request.method,
        request.path,
        header(b"accept"),
        header(b"accept-profile"),
        header(b"range"),
        tuple(request.all(b"prefer")),
        *pieces,
    )
    return Outline(key, texts, pieces)


class Shape(NamedTuple):
    """`places` maps the query's values to texts, `order` is their order in `location`."""

    marked: Job
    places: tuple[int, ...]
    location: str
    order: tuple[int, ...]

    def job(self, request: Request, texts: list[str]) -> Job:
        """The cached read with other values."""
        marked = self.marked
        plan, values, arguments, _, window, names, has_logic = marked.query
        filled = list(values)
        for place, text in zip(self.places, texts, strict=True):
            filled[place] = text
        location = self.location % tuple([encoded(texts[position]) for position in self.order])
        query = Query(plan, tuple(filled), arguments, location, window, names, has_logic)
        return Job(request, marked.action, query, marked.preferences, marked.accept, marked.content)


def shape_of(configuration: Configuration, request: Request, found: Outline) -> Shape | None:
    """What is cached of a request with this outline; None when some value is no operand of a comparison."""
    marks = [chr(FIRST_MARK + number) for number in range(len(found.texts))]
    if len(marks) > MAX_MARKS:
        return None
    pieces = list(found.pieces)
    for number, mark in enumerate(marks):
        # Each value follows the head of its comparison.
        pieces[2 * number + 1] += mark.encode()
    try:
        job = read(configuration, Request(request.method, request.path, b"".join(pieces), request.headers))
    except RestError:
        return None
    if job.query.location is None:
        return None
    values, location = job.query.values, job.query.location.replace("%", "%%")
    shown = [encoded(mark).replace("%", "%%") for mark in marks]
    if job.action.kind is not ActionKind.READ or any(values.count(mark) != 1 for mark in marks):
        return None
    if any(location.count(text) != 1 for text in shown):
        return None
    order = tuple(sorted(range(len(marks)), key=lambda number: location.index(shown[number])))
    for text in shown:
        location = location.replace(text, "%s")
    return Shape(job, tuple(values.index(mark) for mark in marks), location, order)
