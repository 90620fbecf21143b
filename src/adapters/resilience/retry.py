"""Retries calls that fail with TryAgain, within one deadline."""

import asyncio
from collections.abc import Awaitable, Callable

from src.domain.errors import QuotaSpent, RateLimited, SupplierFailed
from src.domain.inventory import Question, Reply
from src.domain.resilience import TryAgain
from src.ports.inventory import Supplier

DELAYS = (0.25, 0.5, 1.0)
MAX_RETRY_AFTER = 2.0
DEADLINE = 7.0


class Retrying:
    """Three more calls after 250, 500 and 1000 ms on TryAgain; a supplier's own Retry-After up to 2 s is obeyed.

    A longer one ends the tries. `sleep` is asyncio.sleep, or a test's clock.
    """

    def __init__(
        self, inner: Supplier, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, deadline: float = DEADLINE
    ) -> None:
        self._inner = inner
        self._sleep = sleep
        self._deadline = deadline

    async def ask(self, question: Question) -> Reply:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._tried(question)
        except TimeoutError:
            message = "The supplier does not answer in time"
            raise SupplierFailed(message) from None

    async def _tried(self, question: Question) -> Reply:
        for delay in (*DELAYS, None):
            try:
                return await self._inner.ask(question)
            except TryAgain as error:
                if error.retry_after is not None and error.retry_after > MAX_RETRY_AFTER:
                    message = "The supplier takes no more calls for now"
                    raise QuotaSpent(message, round(error.retry_after)) from error
                if delay is None:
                    raise _spent(error) from error
                await self._sleep(delay if error.retry_after is None else error.retry_after)
        raise AssertionError


def _spent(error: TryAgain) -> Exception:
    if error.limited:
        return RateLimited("The supplier has too many calls; wait a minute", 60)
    return SupplierFailed("The supplier does not answer")
