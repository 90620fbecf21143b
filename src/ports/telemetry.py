from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol


class Telemetry(Protocol):
    """What is measured of the service's work. Nothing here may raise, and none of it holds personal data."""

    def request(self, method: str, route: str, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> "Observed":
        """A request has begun; `route` is its template, never its path."""

    def step(self, name: str, **attributes: str) -> AbstractContextManager[object]:
        """A step within it (a SQL function, a provider's call): a span, where spans are wanted."""


class Observed(Protocol):
    """One request that is under way."""

    def finished(self, status: int) -> None: ...
