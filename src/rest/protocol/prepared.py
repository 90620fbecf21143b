"""A request with its SQL, and the database's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from src.rest.catalog.model import Returns, Routine, Table
from src.rest.protocol.media import MediaType


@dataclass(frozen=True, slots=True)
class Prepared:
    """The statement of one shape of request, and what is known of its answer before it runs.

    `slots` say where each parameter comes from: (kind, position). `single` is the same statement with the caller's
    settings in it, empty where a transaction of several statements is needed. `explain` counts rows by the
    planner's guess, which takes all rows into account, whoever asks; `exact` is for callers who are none of `seers`,
    the roles that see them all. `guard` is to be run first, but for `single`, which calls it itself.
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
