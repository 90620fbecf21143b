"""Supervised background tasks, which run as long as the process."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from src.database.errors import DatabaseUnavailable, refusal_of, says_that_it_is_away

log = logging.getLogger(__name__)

# Seconds between attempts. The longest is short, so that work resumes soon after the database is back.
FIRST_PAUSE, MAX_PAUSE = 0.1, 5.0


class Outage:
    """Consecutive failures of one task: each kind is logged once, and pauses grow.

    A database that is away is no bug, so its log line has the reason and no traceback.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: set[type[BaseException]] = set()
        self._pause = FIRST_PAUSE

    def failed(self, error: BaseException) -> float:
        """The seconds until the next attempt."""
        refusal = refusal_of(error)
        away = says_that_it_is_away(error)
        kind = type(refusal.reason) if refusal is not None else DatabaseUnavailable if away else type(error)
        if kind not in self._kinds:
            self._kinds.add(kind)
            if refusal is not None:
                log.error("%s is refused by the database: %s: %s", self._name, kind.__name__, refusal.reason)
            elif away:
                log.warning("%s waits for the database", self._name)
            else:
                log.error("%s failed and is tried again", self._name, exc_info=error)
        pause = self._pause
        self._pause = min(2 * pause, MAX_PAUSE)
        return pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    def over(self) -> None:
        """The task succeeded."""
        if self._kinds:
            log.warning("%s is well again", self._name)
            self._kinds.clear()
            self._pause = FIRST_PAUSE


def supervised(name: str, work: Callable[[Outage], Awaitable[None]]) -> asyncio.Task[None]:
    """A task that runs `work`, and restarts it after any failure, until it returns or is cancelled.

    `work` calls `over` of its outage after a success. Keep a reference, as asyncio does not.
    """
    return asyncio.get_running_loop().create_task(_supervise(work, Outage(name)), name=name)


async def _supervise(work: Callable[[Outage], Awaitable[None]], outage: Outage) -> None:
    while True:
        try:
            return await work(outage)
        except asyncio.CancelledError as error:
            # A CancelledError from inside, such as a library's cancelled task, counts as a failure.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            pause = outage.failed(error)
        except Exception as error:  # noqa: BLE001 - every failure restarts the task
            pause = outage.failed(error)
        await asyncio.sleep(pause)


async def stopped(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel the tasks and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
