"""The requested rows: `limit`, `offset` and the Range header, and Content-Range in the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from src.rest.errors import bad_range

MAX_INT8 = 2**63 - 1
HEADER = re.compile(r"^(\d+)-(\d*)$", re.ASCII)
NEGATIVE = "Limit should be greater than or equal to zero."
NUMBER = re.compile(r"^\s*(-?)(\d+)\s*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows `offset` … `offset + limit - 1`; no `limit` means all that follow."""

    offset: int = 0
    limit: int | None = None

    @property
    def everything(self) -> bool:
        return self.offset == 0 and self.limit is None


def number(text: str) -> int | None:
    """A 64-bit integer, None for other texts."""
    match = NUMBER.match(text)
    if match is None:
        return None
    value = int(match[2][:20])
    return max(-value, -MAX_INT8) if match[1] else min(value, MAX_INT8)


def top_level(limit: str | None, offset: str | None, header: str | None) -> RowRange:
    """The window of the root: the intersection of `limit`/`offset` and, where given, the Range header.

    A negative or unreadable offset and an unreadable limit are ignored. Raises RestError 416.
    """
    start = max(number(offset) or 0, 0) if offset is not None else 0
    rows = number(limit) if limit is not None else None
    if rows is not None and rows < 0:
        raise bad_range(NEGATIVE)
    if header is not None and (match := HEADER.match(header)):
        first, last = int(match[1][:20]), int(match[2][:20]) if match[2] else None
        if last is not None and last < first:
            message = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
            raise bad_range(message)
        upper = [bound for bound in (start + rows - 1 if rows is not None else None, last) if bound is not None]
        if rows != 0:
            start = max(start, first)
            rows = min(upper) - start + 1 if upper else None
            if rows is not None and rows <= 0:
                raise bad_range(NEGATIVE)
    return RowRange(min(start, MAX_INT8), rows if rows is None else min(rows, MAX_INT8))


def content_range(first: int, last: int, total: int | None) -> str:
    """The Content-Range header: `first-last/total`, `*` for what is empty or unknown."""
    rows = f"{first}-{last}" if total != 0 and first <= last else "*"
    return f"{rows}/{'*' if total is None else total}"


def status_of(first: int, last: int, total: int | None) -> int:
    """200, 206 when the total says that there are more rows, 416 when the offset lies beyond them."""
    if total is None:
        return 200
    if first > total:
        return 416
    return 206 if 1 + last - first < total else 200
