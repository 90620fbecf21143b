"""A stream is sent as it is read: what it costs does not grow with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.proc import resident_megabytes
from tests.rest.http.conftest import world_database, world_template  # noqa: F401 - fixtures
from tests.support.standalone import standalone

pytestmark = pytest.mark.heavy
LINES, LINE_BYTES = 20_000, 10_003


def test_memory_does_not_grow_with_a_stream(world_database: str, tmp_path: Path) -> None:  # noqa: F811 - a fixture
    """Two hundred megabytes to a client that does not read for a while, and then does."""
    with standalone(world_database, tmp_path) as served:
        before = largest = resident_megabytes(served.pid)
        address = f"/rpc/wide?lines={LINES}"
        with served.http.stream("GET", address, headers={"accept": "application/x-ndjson"}, timeout=60) as answer:
            pieces = answer.iter_bytes()
            size = len(next(pieces))
            for _ in range(20):
                largest = max(largest, resident_megabytes(served.pid))
                time.sleep(0.05)
            for piece in pieces:
                size += len(piece)
                largest = max(largest, resident_megabytes(served.pid))
        assert size == LINES * LINE_BYTES
        assert largest < before + 25
