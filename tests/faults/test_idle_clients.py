"""Thousands of clients that ask for nothing, or never end what they ask: everybody else is served as before."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bench.proc import resident_megabytes
from src.edge.listening import DEAF_MILLISECONDS
from tests.conftest import ANON_KEY, CHECKOUT
from tests.support.processes import TIMEOUT, ServerProcess, descendants, server

KEY = {"apikey": ANON_KEY}
PATHS = ("/functions/v1/bff-checkout", "/rest/v1/rpc/search_places", "/functions/v1/wa-webhook")
ANNOUNCED = 1_000_000
SMALL, LARGE = 100, 500_000
CALLERS = 4  # who ask for something meanwhile
OTHER_FILES = 200


@pytest.fixture(autouse=True)
def _files_enough() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def require_files(clients: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < clients + OTHER_FILES:
        pytest.skip(f"only {hard} files may be open here")


def connect(running: ServerProcess, life: ExitStack) -> socket.socket:
    port = urlsplit(running.address).port or 0
    return life.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))


def half(running: ServerProcess, life: ExitStack, path: str, size: int) -> socket.socket:
    """A request by anon whose body stops at `size` bytes."""
    opened = connect(running, life)
    lines = [f"POST {path} HTTP/1.1", "host: x", f"apikey: {ANON_KEY}", "content-type: application/json"]
    opened.sendall("\r\n".join([*lines, f"content-length: {ANNOUNCED}", "", ""]).encode() + b"x" * size)
    return opened


def slowest(running: ServerProcess, seconds: float = 2) -> float:
    """How long /healthz or a checkout took at most, each on a connection of its own, while several ask at once."""
    end = time.monotonic() + seconds

    def ask(_number: int) -> float:
        longest = 0.0
        while time.monotonic() < end:
            for method, path, body in (("GET", "/healthz", None), ("POST", "/functions/v1/bff-checkout", CHECKOUT)):
                began = time.monotonic()
                answer = httpx.request(method, running.address + path, json=body, headers=KEY, timeout=TIMEOUT)
                assert answer.status_code == 200, answer.text
                longest = max(longest, time.monotonic() - began)
        return longest

    with ThreadPoolExecutor(CALLERS) as pool:
        return max(pool.map(ask, range(CALLERS)))


def told(halves: list[socket.socket]) -> Counter[bytes]:
    return Counter(one.recv(65536)[9:12] for one in halves)


@pytest.mark.parametrize(
    ("idle", "begun"), [(400, 100), pytest.param(4_000, 1_000, marks=pytest.mark.heavy)], ids=["some", "thousands"]
)
def test_idle_sockets_and_half_bodies_keep_nobody_waiting(database: str, tmp_path: Path, idle: int, begun: int) -> None:
    require_files(idle + begun)
    with server(database, tmp_path) as running, ExitStack() as life:
        timeout = 1 + 3 * slowest(running)  # a second, and what other tests do to the machine
        worker = next(descendants(running.process.pid))
        before = resident_megabytes(worker)
        for _ in range(idle):
            connect(running, life)
        assert slowest(running) < timeout
        assert resident_megabytes(worker) - before < 4 + idle * 0.016
        halves = [half(running, life, PATHS[number % 3], SMALL) for number in range(begun)]
        assert slowest(running, 3) < timeout
        assert resident_megabytes(worker) - before < 8 + idle * 0.016 + begun * 0.05
        assert told(halves) == {b"408": begun}
        assert slowest(running) < timeout


@pytest.mark.heavy
def test_halves_of_large_bodies_fill_no_memory_and_keep_nobody_waiting(database: str, tmp_path: Path) -> None:
    require_files(1_000)
    with server(database, tmp_path) as running, ExitStack() as life:
        timeout = 1 + 3 * slowest(running)  # a second, and what other tests do to the machine
        worker = next(descendants(running.process.pid))
        before = resident_megabytes(worker)
        halves = [half(running, life, PATHS[number % 3], LARGE) for number in range(1_000)]
        assert slowest(running, 5) < timeout
        assert resident_megabytes(worker) - before < 450  # all that was sent would be 500 more
        seen = told(halves)
        assert set(seen) == {b"408", b"503"}
        assert 100 < seen[b"408"] < 300


@pytest.mark.heavy
def test_who_takes_nothing_of_an_answer_is_hung_up_on(database: str, tmp_path: Path) -> None:
    with server(database, tmp_path) as running, ExitStack() as life:
        files = Path(f"/proc/{next(descendants(running.process.pid))}/fd")
        before = len(list(files.iterdir()))
        deaf = connect(running, life)
        deaf.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:  # until no answer finds room any more
                deaf.sendall(b"GET /schema HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
        assert len(list(files.iterdir())) == before + 1
        time.sleep(DEAF_MILLISECONDS / 1000 + 5)
        assert len(list(files.iterdir())) == before
