"""On stderr how far something is that takes its time: one line that changes on a terminal, else one now and then."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

TERMINAL_SECONDS = 0.5
# In a log: what is done before that says nothing.
LOG_SECONDS = 30.0
UNITS = ("bytes", "kB", "MB", "GB", "TB")
UNIT = 1000


@asynccontextmanager
async def shown(tell: Callable[[], str]) -> AsyncIterator[None]:
    """Says what `tell` answers, with the seconds that have gone by, for the length of the block."""
    task = asyncio.create_task(_show(tell))
    try:
        yield
    finally:
        task.cancel()
        # Whoever is cancelled meanwhile is not taken for the task.
        await asyncio.wait({task})


async def _show(tell: Callable[[], str]) -> None:
    begun = time.monotonic()
    terminal = sys.stderr.isatty()
    before, after = ("\r", "\x1b[K") if terminal else ("", "\n")
    with suppress(OSError):  # the terminal may have gone, and what is shown goes on
        try:
            while True:
                await asyncio.sleep(TERMINAL_SECONDS if terminal else LOG_SECONDS)
                print(f"{before}{tell()}, {time.monotonic() - begun:.0f} s{after}", end="", file=sys.stderr, flush=True)
        finally:
            if terminal:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def size(count: int) -> str:
    """A number of bytes as people read it, in decimal units."""
    number, unit = float(count), 0
    while number >= UNIT and unit < len(UNITS) - 1:
        number, unit = number / UNIT, unit + 1
    return f"{number:.1f} {UNITS[unit]}" if unit else f"{count} bytes"
