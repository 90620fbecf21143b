"""Sweeps: work that the worker finds by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from src.domain.context import Context


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of work.

    `run` handles one batch and returns how many rows that were; it is called again until there are none. It may run
    on several hosts at once and die at any point, so it claims its rows with a lease. `every` is in seconds: over
    all hosts one turn is begun in each such period. A notification on the channel `ecotrips_<name>` begins one soon.
    """

    name: str
    every: float
    run: Callable[[Context], Awaitable[int]]

    @property
    def channel(self) -> str:
        return f"ecotrips_{self.name}"
