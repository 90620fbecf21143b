"""AUDIT lines on a standard output that is a pipe: whole, in time, and never at the cost of other threads."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.adapters.telemetry.audit import StandardOutput
from src.domain.audit import AuditLine
from tests.support.processes import TIMEOUT


@contextlib.contextmanager
def piped() -> Iterator[int]:
    """The end to read of what goes to standard output. No fixture: pytest sets its own output anew before each test."""
    kept = os.dup(1)
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    try:
        yield reading
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def test_an_audit_line_waits_for_a_reader_who_is_behind_and_lets_other_threads_run() -> None:
    read = bytearray()

    def read_on(pipe: int) -> None:
        time.sleep(0.05)
        while not read.endswith(b"\n"):
            read.extend(os.read(pipe, 1 << 16))

    with piped() as pipe, ThreadPoolExecutor(1) as threads:
        os.set_blocking(1, False)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += os.write(1, b"." * select.PIPE_BUF)
        os.set_blocking(1, True)
        reading = threads.submit(read_on, pipe)
        StandardOutput().record(AuditLine("permits.request", "r", "anonymous", {"park": "Akagera"}))
        reading.result(TIMEOUT)
        os.close(pipe)
    assert bytes(read[filled:]) == b"AUDIT permits.request requestId=r actor=anonymous park=Akagera\n"


def test_an_audit_line_that_nobody_can_read_is_a_failure() -> None:
    with piped() as pipe:
        os.close(pipe)
        with pytest.raises(BrokenPipeError):
            StandardOutput().record(AuditLine("permits.request", "r", "anonymous"))


def test_an_audit_line_may_be_longer_than_a_pipe() -> None:
    with ThreadPoolExecutor(1) as threads:
        with piped() as pipe:
            reading = threads.submit(lambda: b"".join(iter(lambda: os.read(pipe, 1 << 16), b"")))
            facts = {f"f{number}": "x" * 100 for number in range(3_000)}
            StandardOutput().record(AuditLine("storage.object", "r", "anonymous", facts))
        assert reading.result(TIMEOUT).endswith(b" f2999=" + b"x" * 100 + b"\n")
        os.close(pipe)
