"""`ecotrips rest` as a process over the world of the REST engine's tests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import jwt

from tests.rest.http.conftest import as_gate
from tests.support.postgres import JWT_SECRET
from tests.support.processes import ROOT, TIMEOUT, environment, free_port


@dataclass(frozen=True)
class Standalone:
    """A running server: a client of it, the address of its administration port, what it logs, its process."""

    http: httpx.Client
    admin: str
    output: Path
    pid: int

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not holds():
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)


@contextmanager
def standalone(dsn: str, folder: Path, **changes: str) -> Iterator[Standalone]:
    port, admin = free_port(), free_port()
    output = folder / f"rest-{port}.txt"
    settings = {
        "PGRST_DB_URI": as_gate(dsn),
        "PGRST_DB_SCHEMAS": "zoo",
        "PGRST_DB_EXTRA_SEARCH_PATH": "aside",
        "PGRST_DB_ANON_ROLE": "visitor",
        "PGRST_JWT_SECRET": JWT_SECRET,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_ADMIN_SERVER_PORT": str(admin),
        **changes,
    }
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "src.rest.server.server"],
            cwd=ROOT,
            env=environment(**settings),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            served = Standalone(http, f"http://127.0.0.1:{admin}", output, process.pid)
            served.wait(lambda: "serving " in output.read_text() and _answers(served.admin))
            yield served
    finally:
        process.terminate()
        assert process.wait(10) == 0, output.read_text()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/live").status_code == 200
    except httpx.TransportError:
        return False


def bearer(role: str, **claims: object) -> dict[str, str]:
    return {"authorization": f"Bearer {jwt.encode({'role': role, **claims}, JWT_SECRET, algorithm='HS256')}"}


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


def is_ready(served: Standalone) -> bool:
    return httpx.get(f"{served.admin}/ready").status_code == 200


def knows(served: Standalone, table: str) -> bool:
    tables = httpx.get(f"{served.admin}/schema_cache").json()["tables"]
    return any(found["name"] == table for found in tables)
