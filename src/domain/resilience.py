"""A supplier's circuit and cached answers, which all processes share."""

from dataclasses import dataclass

from src.domain.errors import SupplierFailed
from src.domain.inventory import Reply


@dataclass(frozen=True, slots=True)
class CircuitState:
    """`state` is closed, open or half-open (open and rested). Times are seconds.

    `epoch` counts changes of state, `version` every change.
    """

    state: str = "closed"
    forced: bool = False
    failures: int = 0
    epoch: int = 0
    version: int = 0
    probing: bool = False
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class CachedReply:
    """An answer from the cache, fresh for `fresh_seconds` more (negative: stale)."""

    reply: Reply
    fresh_seconds: float
    age_seconds: float


class TryAgain(SupplierFailed):
    """The supplier may answer soon: too many calls (`limited`), overload or a broken connection.

    `retry_after` is the delay in seconds that it asked for.
    """

    def __init__(self, message: str, *, limited: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.limited = limited
        self.retry_after = retry_after
