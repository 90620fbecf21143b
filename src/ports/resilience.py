"""What the wrappers around a supplier share with the other processes."""

from typing import Protocol
from uuid import UUID

from src.domain.context import Context
from src.domain.inventory import Question, Reply
from src.domain.resilience import CachedReply, CircuitState


class CircuitReading(Protocol):
    """What a supplier's circuit is, as this process last heard."""

    @property
    def state(self) -> str:
        """closed, open or half-open."""


class Cache(Protocol):
    """A supplier's answers, kept. All raise Unavailable when the database is away."""

    async def read(self, question: Question, origin: str) -> CachedReply | None:
        """What `origin` last said, however old."""

    async def claim(self, question: Question, origin: str, holder: UUID, seconds: int) -> bool:
        """Whether `holder` may ask; nobody else may for so many seconds."""

    async def write(self, question: Question, reply: Reply, holder: UUID) -> str:
        """Keep an answer and let go of the claim; returns until when it is fresh, ISO 8601."""

    async def release(self, question: Question, origin: str, holder: UUID) -> None:
        """Let go of the claim without an answer."""

    async def purge(self, context: Context) -> int:
        """Delete what has expired; how many rows that were."""


class CircuitStore(Protocol):
    """The one circuit of all processes. All raise Unavailable when the database is away."""

    async def read(self) -> CircuitState:
        """The circuit now."""

    async def admit(self, probe_seconds: int) -> CircuitState:
        """The circuit now; `probing` when this caller is the one probe of a half-open circuit."""

    async def judge(self, before: CircuitState, after: CircuitState, error: str) -> CircuitState | None:
        """Write a judgement made on `before`; when the circuit has changed since, nothing is written: it as it is."""

    async def release(self, probe: CircuitState) -> None:
        """The probe ended without a verdict."""
