"""What the REST edge needs: a planner that touches no database, and something that runs what it planned."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from src.rest.catalog.model import Catalog, Name, Routine, Table
from src.rest.protocol.prepared import Prepared, ResultSet
from src.rest.protocol.request import Action, Job, Request


class Identity(NamedTuple):
    """Who calls: a database role and the token's claims as JSON text."""

    role: str
    claims: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Visible:
    """Names of relations and oids of functions."""

    relations: frozenset[str]
    functions: frozenset[int]


class RestEngine(Protocol):
    """One database, served by its catalog."""

    @property
    def catalog(self) -> Catalog | None:
        """What is known of the database; None until it was read once."""

    def table(self, name: Name) -> Table:
        """An exposed relation. Raises RestError PGRST205."""

    def routine(self, job: Job) -> Routine:
        """The function a request calls. Raises RestError PGRST202 or PGRST203."""

    async def require(self, action: Action, identity: Identity) -> None:
        """Raises RestError when the relation or function is not there, or the caller has no right to use it so.

        For what costs something before the database, whose word it is, can say so.
        """

    def cached(self, request: Request) -> tuple[Job, Prepared] | None:
        """What reading and preparing a request would give, if that is cached."""

    def prepare(self, job: Job) -> Prepared:
        """The SQL of a request. Raises RestError for what the catalog does not have."""

    def run(self, job: Job, prepared: Prepared, identity: Identity) -> Awaitable[ResultSet]:
        """Run it in one transaction as the caller. Raises RestError for whatever the database refuses."""

    def stream(self, job: Job, prepared: Prepared, identity: Identity) -> AsyncGenerator[bytes]:
        """The rows of a read as NDJSON, in pieces, with memory that does not grow with them."""

    def visible(self, request: Request, schema: str, identity: Identity) -> Awaitable[Visible]:
        """What of a schema the caller may use."""
