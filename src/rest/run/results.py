"""Reads the single row that every prepared statement returns, from either kind of connection."""

from __future__ import annotations

import asyncpg

from src.database.pipelined import Row
from src.rest.protocol.prepared import ResultSet


def result_of(row: asyncpg.Record | None) -> ResultSet:
    """The result in a record of asyncpg."""
    if row is None:
        return ResultSet()
    total, page_total, body, headers, status, location, inserted = row
    return ResultSet(
        body.encode() if isinstance(body, str) else body or b"",
        page_total,
        total,
        headers,
        status,
        tuple(location) if location else (),
        None if inserted is None else int(inserted),
    )


def result_of_texts(row: Row) -> ResultSet:
    """The result of a read, in the server's texts."""
    total, page_total, body, headers, status, _, _ = row
    return ResultSet(
        body or b"",
        int(page_total or b"0"),
        None if total is None else int(total),
        None if headers is None else headers.decode(),
        None if status is None else status.decode(),
    )
