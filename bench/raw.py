"""The least that a request can cost: an ASGI function without a framework, in the server that serves ours.

`python -m bench.raw PORT` serves it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
def program(running: Stack, name: str, module: str, **environment: str) -> Iterator[None]:
    """A service `name` for the block: a module of the bench, which is given a port and says when it serves."""
    port, output = free_port(), FOLDER / f"{name}.txt"
    arguments = [sys.executable, "-m", module, str(port)]
    with output.open("wb") as file, Popen(arguments, stdout=file, env={**os.environ, **environment}) as process:
        try:
            while b"serving" not in output.read_bytes():
                time.sleep(0.1)
            served = ServerProcess(process, f"http://127.0.0.1:{port}", output)
            running.services[name] = Service(served, running.services["main"].settings)
            yield
        finally:
            process.terminate()


def serving_raw(running: Stack) -> AbstractContextManager[None]:
    """A service `raw` for the block."""
    return program(running, "raw", "bench.raw")


if __name__ == "__main__":
    server = server_of("bench.raw:application", "127.0.0.1", int(sys.argv[1]), 1)
    Timer(2, print, ["serving"], {"flush": True}).start()
    server.serve()
