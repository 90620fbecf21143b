"""Shows progress on stderr: one changing line on a terminal, else a line now and then."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

TERMINAL_SECONDS = 0.5
# In a log; work that ends earlier writes nothing.
LOG_SECONDS = 30.0
UNITS = ("bytes", "kB", "MB", "GB", "TB")
UNIT = 1000


@asynccontextmanager
async def shown(tell: Callable[[], str]) -> AsyncIterator[None]:
    """Shows what `tell` returns and the elapsed seconds during the block."""
    task = asyncio.create_task(_show(tell))
    try:
        yield
    finally:
        task.cancel()
        # Unlike await, wait() does not confuse the task's cancellation with the caller's.
        await asyncio.wait({task})


async def _show(tell: Callable[[], str]) -> None:
    begun = time.monotonic()
    terminal = sys.stderr.isatty()
    before, after = ("\r", "\x1b[K") if terminal else ("", "\n")
    with suppress(OSError):  # the terminal may be gone; the work goes on
        try:
            while True:
                await asyncio.sleep(TERMINAL_SECONDS if terminal else LOG_SECONDS)
                print(f"{before}{tell()}, {time.monotonic() - begun:.0f} s{after}", end="", file=sys.stderr, flush=True)
        finally:
            if terminal:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def size(count: int) -> str:
    """A number of bytes in decimal units."""
    number, unit = float(count), 0
    while number >= UNIT and unit < len(UNITS) - 1:
        number, unit = number / UNIT, unit + 1
    return f"{number:.1f} {UNITS[unit]}" if unit else f"{count} bytes"
