"""Answers without rows: OPTIONS, and the OpenAPI document at the root."""

from __future__ import annotations

from importlib.metadata import version

from src.rest.errors import no_catalog, unacceptable_media
from src.rest.ports import Identity, RestEngine, Visible
from src.rest.protocol.media import Media
from src.rest.protocol.openapi import Subject, document_2_0
from src.rest.protocol.openapi31 import CONTENT_TYPE, document_3_1, wanted
from src.rest.protocol.request import ActionKind, Configuration, Job
from src.rest.protocol.response import Response, allowed, allowed_to_all

INFORMATION = frozenset({ActionKind.ROOT, ActionKind.ROOT_INFO, ActionKind.RELATION_INFO, ActionKind.ROUTINE_INFO})
DOCUMENT_KINDS = frozenset({Media.OPENAPI, Media.JSON, Media.ANY})


class Information:
    """Answers that need no statement of the client's.

    `server` is the URL in documents. `public` allows pages of every origin to read OPTIONS, as PostgREST does.
    """

    def __init__(
        self,
        engine: RestEngine,
        configuration: Configuration,
        server: str = "http://0.0.0.0:3000/",
        *,
        public: bool = True,
    ) -> None:
        self._engine = engine
        self._configuration = configuration
        self._server = configuration.openapi_server_uri or server
        self._version = version("ecotrips-ops")
        self._allowed = allowed_to_all if public else allowed

    async def answer(self, job: Job, identity: Identity) -> Response:
        """The answer to a request whose kind is in INFORMATION. Raises RestError."""
        match job.action.kind:
            case ActionKind.ROOT_INFO:
                return self._allowed("OPTIONS", "GET", "HEAD")
            case ActionKind.RELATION_INFO:
                return self._relation(job)
            case ActionKind.ROUTINE_INFO:
                volatile = self._engine.routine(job).volatility == "v"
                return self._allowed("OPTIONS", *([] if volatile else ["GET", "HEAD"]), "POST")
            case _:
                return await self._document(job, identity)

    def _relation(self, job: Job) -> Response:
        table = self._engine.table(job.action.name)
        methods = ["OPTIONS", "GET", "HEAD"]
        if table.insertable:
            methods.append("POST")
        if table.insertable and table.updatable and table.primary_key:
            methods.append("PUT")
        if table.updatable:
            methods.append("PATCH")
        if table.deletable:
            methods.append("DELETE")
        return self._allowed(*methods)

    async def _document(self, job: Job, identity: Identity) -> Response:
        newer = wanted(media.name for media in job.accept)
        if not newer and not any(media.kind in DOCUMENT_KINDS for media in job.accept):
            raise unacceptable_media([media.name for media in job.accept])
        subject = await self._subject(job, identity)
        body = b"" if job.action.head else (document_3_1 if newer else document_2_0)(subject)
        headers = [("Content-Type", CONTENT_TYPE if newer else "application/openapi+json; charset=utf-8")]
        if not job.action.head:
            headers.append(("Content-Length", str(len(body))))
        if job.action.negotiated:
            headers.append(("Content-Profile", job.action.name.schema))
        return Response(200, [*headers, ("Vary", "Accept, Prefer, Range")], body)

    async def _subject(self, job: Job, identity: Identity) -> Subject:
        catalog = self._engine.catalog
        if catalog is None:
            raise no_catalog()
        schema = job.action.name.schema
        tables = [table for name, table in catalog.tables.items() if name.schema == schema]
        routines = [
            routine for name, overloads in catalog.routines.items() if name.schema == schema for routine in overloads
        ]
        if self._configuration.openapi == "follow-privileges":
            visible: Visible = await self._engine.visible(job.request, schema, identity)
            tables = [table for table in tables if table.name.name in visible.relations]
            routines = [routine for routine in routines if routine.oid in visible.functions]
        return Subject(
            catalog, schema, tables, routines, self._server, self._version, self._configuration.openapi_security
        )
