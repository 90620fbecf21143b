"""SIGINT, SIGTERM and SIGHUP for commands that leave nothing half done: what they interrupt, and what they wait for.

A signal's handler may run anywhere: between a file's being made and its being known, and within asyncpg, which loses
what is raised there. So after `prepare` KeyboardInterrupt is raised only until `take_note`; from then on a signal ends
what waits in `run` and `ending`, and counts at `check`. All but the first are ignored: nothing disturbs cleaning up.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class _Stop:
    """What the signals of this process have said so far, and what the next one does."""

    def __init__(self) -> None:
        self.asked = False
        self.raises = True
        self.ends: list[Callable[[], object]] = []

    def __call__(self, _sign: int, _frame: FrameType | None) -> None:
        if self.asked:
            return
        self.asked = True
        # It warns of programs that we have ended, and waited for, before it came to.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        for end in self.ends:
            end()
        if self.raises:
            raise KeyboardInterrupt


_stop = _Stop()


def prepare() -> None:
    """Interrupt on every signal that would end the process; ignored signals (`nohup`) stay ignored."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, _stop)


def take_note() -> None:
    """From now on nothing is raised but by `check`, and by what a signal ends. Raises KeyboardInterrupt."""
    _stop.raises = False
    check()


def check() -> None:
    """Raises KeyboardInterrupt when a signal has come."""
    if _stop.asked:
        raise KeyboardInterrupt


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, but a signal cancels, so that it is raised where something is awaited.

    Raises KeyboardInterrupt in place of what comes of that.
    """

    async def cancelled_by_signals() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - for the types
        with ending(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await main

    try:
        return asyncio.run(cancelled_by_signals())
    except BaseException:
        check()
        raise


@contextmanager
def ending(end: Callable[[], object]) -> Iterator[None]:
    """A signal calls `end`, for the length of the block, so that nothing waits there for ever."""
    _stop.ends.append(end)
    try:
        if _stop.asked:
            end()
        yield
    finally:
        _stop.ends.remove(end)


@contextmanager
def put_off() -> Iterator[None]:
    """What is done or not done, and must not end in between: a signal ends what comes after it.

    Raises KeyboardInterrupt when one came before.
    """
    ends, _stop.ends = _stop.ends, []
    try:
        check()
        yield
    finally:
        _stop.ends = ends
    if _stop.asked:
        for end in ends:
            end()
