"""What the ASGI application needs: a planner without I/O, and a runner of prepared requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from src.rest.catalog.model import Catalog, Name, Routine, Table
from src.rest.protocol.prepared import Prepared, ResultSet
from src.rest.protocol.request import Action, Job, Request


class Identity(NamedTuple):
    """The caller: a database role and the token's claims as JSON text."""

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
        """The catalog; None until it was read."""

    def table(self, name: Name) -> Table:
        """An exposed relation. Raises RestError PGRST205."""

    def routine(self, job: Job) -> Routine:
        """The function a request calls. Raises RestError PGRST202 or PGRST203."""

    async def require(self, action: Action, identity: Identity) -> None:
        """Raises RestError when the relation or function does not exist, or the caller lacks the right.

        Called before expensive work only, as the database checks rights itself.
        """

    def cached(self, request: Request) -> tuple[Job, Prepared] | None:
        """What reading and preparing a request would give, if that is cached."""

    def prepare(self, job: Job) -> Prepared:
        """The SQL of a request. Raises RestError for what the catalog does not have."""

    def run(self, job: Job, prepared: Prepared, identity: Identity) -> Awaitable[ResultSet]:
        """Run it in one transaction as the caller. Raises RestError for whatever the database refuses."""

    def stream(self, job: Job, prepared: Prepared, identity: Identity) -> AsyncGenerator[bytes]:
        """The rows of a read as NDJSON in pieces, with bounded memory."""

    def visible(self, request: Request, schema: str, identity: Identity) -> Awaitable[Visible]:
        """The relations and functions of a schema that the caller may use."""
