"""The service with a timer of its own for each body: `python -m bench.usual PORT`, served as ours is."""

from __future__ import annotations

import asyncio
import sys
from threading import Timer

from src.app import create
from src.commands.serve import server_of
from src.edge.body import Timeouts


def application() -> object:
    handles: dict[asyncio.Task[object], asyncio.TimerHandle] = {}

    def begin(self: Timeouts, task: asyncio.Task[object], seconds: float) -> None:
        def late() -> None:
            self.late.add(task)
            task.cancel()

        handles[task] = task.get_loop().call_later(seconds, late)

    def end(self: Timeouts, task: asyncio.Task[object]) -> None:
        handles.pop(task).cancel()
        self.late.discard(task)

    Timeouts.begin, Timeouts.end = begin, end  # type: ignore[method-assign] # that is what is compared
    return create()


if __name__ == "__main__":
    server = server_of("bench.usual:application", "127.0.0.1", int(sys.argv[1]), 1)
    Timer(4, print, ["serving"], {"flush": True}).start()
    server.serve()
