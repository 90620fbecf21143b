"""The REST engine: plans by the catalog, caches the SQL of each shape of request, runs it through a runner."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable

from src.adapters.postgres.rest.calling import find_routine
from src.adapters.postgres.rest.lookups import find_table
from src.adapters.postgres.rest.preparation import Preparation
from src.adapters.postgres.rest.runners import Runner
from src.domain.rest.catalog import Catalog, Name, Routine, Table
from src.domain.rest.errors import no_catalog
from src.domain.rest.prepared import Prepared, ResultSet
from src.domain.rest.request import Configuration, Job, Request
from src.ports.rest import Identity, Visible

# A client can mint shapes, so what is kept of them is bounded.
KEPT_SHAPES = 1024


class Engine:
    """One database. `catalog` is replaced as a whole when the schema changes; cached SQL goes with it."""

    def __init__(self, configuration: Configuration, runner: Runner) -> None:
        self.configuration = configuration
        self._runner = runner
        self._preparation: Preparation | None = None
        self._shapes: OrderedDict[Hashable, Prepared] = OrderedDict()

    @property
    def catalog(self) -> Catalog | None:
        return self._preparation.catalog if self._preparation else None

    def use(self, catalog: Catalog) -> None:
        """Serve by this catalog from now on."""
        self._preparation = Preparation(catalog, self.configuration)
        self._shapes.clear()

    def table(self, name: Name) -> Table:
        return find_table(self._known, name)

    def routine(self, job: Job) -> Routine:
        return find_routine(self._known, job)

    @property
    def _known(self) -> Catalog:
        if self._preparation is None:
            raise no_catalog()
        return self._preparation.catalog

    def prepare(self, job: Job) -> Prepared:
        """The SQL of a request, from the cache when its shape is known. Raises RestError."""
        if self._preparation is None:
            raise no_catalog()
        shape = _shape(job)
        prepared = self._shapes.get(shape)
        if prepared is not None:
            return prepared
        prepared = self._preparation.prepare(job)
        self._shapes[shape] = prepared
        if len(self._shapes) > KEPT_SHAPES:
            self._shapes.popitem(last=False)
        return prepared

    async def run(self, job: Job, prepared: Prepared, identity: Identity) -> ResultSet:
        return await self._runner.run(job, prepared, identity)

    def stream(self, job: Job, prepared: Prepared, identity: Identity) -> AsyncIterator[bytes]:
        return self._runner.stream(job, prepared, identity)

    async def visible(self, request: Request, schema: str, identity: Identity) -> Visible:
        return await self._runner.visible(request, schema, identity)


def _shape(job: Job) -> Hashable:
    """All that decides the text of the statement: everything but the values."""
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
