"""The REST engine: plans with the catalog, caches the SQL of each shape, and runs it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Hashable
from typing import TypeVar

from src.rest.catalog.lookups import find_table
from src.rest.catalog.model import Catalog, Name, Routine, Table
from src.rest.errors import no_catalog
from src.rest.ports import Identity, Visible
from src.rest.protocol.prepared import Prepared, ResultSet
from src.rest.protocol.request import Action, ActionKind, Configuration, Job, Request
from src.rest.protocol.shapes import Shape, outline, shape_of
from src.rest.run.runners import Runner
from src.rest.sql.calling import find_routine, unknown_routine
from src.rest.sql.preparation import Preparation

Entry = TypeVar("Entry")
# Clients can make any number of shapes, so the caches are bounded.
KEPT_SHAPES = 1024
# Bounds of one entry: characters of the statements, and bytes of the key.
MAX_KEPT_SIZE = 16 * 1024
MAX_KEY_LENGTH = 1024


class Engine:
    """One database. A new catalog empties the caches."""

    def __init__(self, configuration: Configuration, runner: Runner) -> None:
        self.configuration = configuration
        self._runner = runner
        self._preparation: Preparation | None = None
        self._shapes: OrderedDict[Hashable, Prepared] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._cached_reads: OrderedDict[Hashable, tuple[Shape, Prepared]] = OrderedDict()

    @property
    def catalog(self) -> Catalog | None:
        return self._preparation.catalog if self._preparation else None

    def use(self, catalog: Catalog) -> None:
        """Replace the catalog."""
        self._preparation = Preparation(catalog, self.configuration)
        self._shapes.clear()
        self._cached_reads.clear()

    def table(self, name: Name) -> Table:
        return find_table(self._known, name)

    def routine(self, job: Job) -> Routine:
        return find_routine(self._known, job)

    async def require(self, action: Action, identity: Identity) -> None:
        if action.kind is not ActionKind.CALL:
            find_table(self._known, action.name)
        elif action.name not in self._known.routines:
            raise unknown_routine(self._known, action.name)
        await self._runner.require(action, identity)

    @property
    def _known(self) -> Catalog:
        if self._preparation is None:
            raise no_catalog()
        return self._preparation.catalog

    def cached(self, request: Request) -> tuple[Job, Prepared] | None:
        """The job and SQL of a read without parsing it, when a read of its outline is cached."""
        found = outline(request)
        known = self._cached_reads.get(found.key) if found is not None else None
        return (known[0].job(request, found.texts), known[1]) if found is not None and known is not None else None

    def prepare(self, job: Job) -> Prepared:
        """The SQL of a request, from the cache when its shape is known. Raises RestError."""
        prepared = self._prepared(job)
        found = outline(job.request) if job.action.kind is ActionKind.READ else None
        if found is None or not _is_small(job, prepared):
            return prepared
        if found.key not in self._seen:
            # Only the second request of an outline makes a shape, as many outlines never come again.
            _keep(self._seen, found.key, None)
        elif (shape := shape_of(self.configuration, job.request, found)) is not None:
            _keep(self._cached_reads, found.key, (shape, prepared))
        return prepared

    def _prepared(self, job: Job) -> Prepared:
        if self._preparation is None:
            raise no_catalog()
        shape = _shape(job)
        prepared = self._shapes.get(shape)
        if prepared is not None:
            return prepared
        prepared = self._preparation.prepare(job)
        if _is_small(job, prepared):
            _keep(self._shapes, shape, prepared)
        return prepared

    def run(self, job: Job, prepared: Prepared, identity: Identity) -> Awaitable[ResultSet]:
        return self._runner.run(job, prepared, identity)

    def stream(self, job: Job, prepared: Prepared, identity: Identity) -> AsyncGenerator[bytes]:
        return self._runner.stream(job, prepared, identity)

    def visible(self, request: Request, schema: str, identity: Identity) -> Awaitable[Visible]:
        return self._runner.visible(request, schema, identity)


def _is_small(job: Job, prepared: Prepared) -> bool:
    """Whether it may be cached: the statement, and its key of query and names in a body."""
    request = job.request
    by = len(request.raw_query) + (len(request.body) if job.action.by_get else 0)
    if job.payload is not None:
        by += sum(map(len, job.payload.keys))
    return by <= MAX_KEY_LENGTH and len(prepared.statement) + len(prepared.single) <= MAX_KEPT_SIZE


def _keep(cache: OrderedDict[Hashable, Entry], key: Hashable, value: Entry) -> None:
    cache[key] = value
    if len(cache) > KEPT_SHAPES:
        cache.popitem(last=False)


def _shape(job: Job) -> Hashable:
    """The key of a statement: all of the request but its values."""
    action, query, preferences, payload = job.action, job.query, job.preferences, job.payload
    body: Hashable = None
    if payload is not None:
        names = tuple(name for name, _ in payload.arguments or ())
        body = (payload.keys, payload.is_object, payload.arguments is None, names)
    elif query.arguments:
        body = tuple(name for name, _ in query.arguments)
    return (
        action.kind.value,
        action.name,
        action.head,
        action.by_get,
        query.plan,
        job.request.header(b"accept"),
        job.request.header(b"content-type"),
        preferences.count,
        preferences.representation,
        preferences.resolution,
        preferences.missing,
        preferences.strict and (preferences.unknown, preferences.max_affected is not None),
        body,
    )
