"""Server-Timing: the duration of each step of a request."""

from __future__ import annotations

from time import perf_counter

STEPS = ("jwt", "parse", "plan", "transaction", "response")


class Stopwatch:
    """Laps in milliseconds, named after PostgREST's."""

    __slots__ = ("_laps", "_since")

    def __init__(self) -> None:
        self._laps: dict[str, float] = {}
        self._since = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self._laps[name] = (now - self._since) * 1000
        self._since = now

    def header(self) -> str:
        return ", ".join(f"{name};dur={self._laps[name]:.1f}" for name in STEPS if name in self._laps)
