"""A request with its SQL, and the database's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from src.rest.catalog.model import Returns, Routine, Table
from src.rest.protocol.media import MediaType


@dataclass(frozen=True, slots=True)
class Prepared:
    """The statement of a shape of request, and what is known of its answer beforehand.

    `slots` give the source of each parameter: (kind, position). `single` is the same statement with the caller's
    settings in it, empty where a transaction is needed. `explain` estimates rows by the planner, over all rows of the
    table; `exact` is for callers who are none of `seers`, the roles that see them all. `guard` runs first, but `single`
    calls it itself.
    """

    statement: str
    slots: tuple[tuple[str, int], ...]
    media: MediaType
    table: Table | None = None
    routine: Routine | None = None
    single: str = ""
    single_slots: tuple[tuple[str, int], ...] = ()
    explain: str = ""
    explain_slots: tuple[tuple[str, int], ...] = ()
    exact: Prepared | None = None
    seers: frozenset[str] = frozenset()
    warnings: tuple[tuple[str, str], ...] = ()
    read_only: bool = True
    guard: str = ""

    @property
    def returns(self) -> Returns | None:
        return self.routine.returns if self.routine else None


class ResultSet(NamedTuple):
    """What a statement answered. `total` counts all rows, `page_total` those of the page.

    `guc_headers` and `guc_status` are what the database set in response.headers and response.status.
    """

    body: bytes = b""
    page_total: int = 0
    total: int | None = None
    guc_headers: str | None = None
    guc_status: str | None = None
    location: tuple[str, ...] = ()
    inserted: int | None = None
