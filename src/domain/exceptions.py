"""The ops queue of things that went wrong (docs/api.md, Bookings and exceptions)."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ExceptionsQuery:
    """Which exceptions: those in one status (open, retrying or resolved), one page."""

    status: str | None = None
    page: int = 1
    page_size: int = 20


@dataclass(frozen=True, slots=True)
class Retry:
    """Which exception's work is to be queued again, with a word for other operators."""

    exception_id: UUID
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """The exception after that: retrying or resolved."""

    exception_id: UUID
    status: str
