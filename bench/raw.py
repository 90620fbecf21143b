"""The least that a request can cost: an ASGI function without a framework, in the server that serves ours.

`python -m bench.raw PORT` serves it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen
from threading import Timer
from typing import Any

from bench.stack import FOLDER, Service, Stack
from src.commands.serve import server_of
from tests.support.processes import ServerProcess, free_port

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
BODY = {"type": "http.response.body", "body": b'{"ok":true}'}


async def raw(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "http":
        await receive()
        await send(START)
        await send(BODY)


def application() -> object:
    return raw


@contextmanager
def serving_raw(running: Stack) -> Iterator[None]:
    """A service `raw` for the block."""
    port, output = free_port(), FOLDER / "raw.txt"
    with output.open("wb") as file, Popen([sys.executable, "-m", "bench.raw", str(port)], stdout=file) as process:
        try:
            while not output.stat().st_size:
                time.sleep(0.1)
            served = ServerProcess(process, f"http://127.0.0.1:{port}", output)
            running.services["raw"] = Service(served, running.services["main"].settings)
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    server = server_of("bench.raw:application", "127.0.0.1", int(sys.argv[1]), 1)
    Timer(2, print, ["serving"], {"flush": True}).start()
    server.serve()
