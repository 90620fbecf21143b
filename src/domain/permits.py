"""Park permits: what travellers ask for and what becomes of it (docs/api.md, Permits)."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """What a traveller asks for: entry to one park on one day for a number of people."""

    park: str
    visit_date: date
    pax_count: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Which request is to be approved, rejected or cancelled, with a word about why."""

    request_id: UUID
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """A request as every endpoint answers: pending, approved, rejected or cancelled."""

    request_id: UUID
    status: str
