"""The administration port of the standalone server: liveness, readiness and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from src.edge.asgi import Message, Receive, Send
from src.rest.catalog.model import Catalog


@dataclass(frozen=True, slots=True)
class Admin:
    """`ready` says whether a schema is served."""

    ready: Callable[[], bool]
    catalog: Callable[[], Catalog | None]
    metrics: Collector

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        status, kind, body = self._answer(scope["path"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        match path.strip("/"):
            case "live":
                return 200, b"text/plain", b""
            case "ready":
                return (200 if self.ready() else 503), b"text/plain", b""
            case "metrics":
                return 200, b"text/plain; charset=utf-8", generate_latest(self.metrics)
            case "schema_cache":
                return 200, b"application/json", self._schema()
            case _:
                return 404, b"text/plain", b""

    def _schema(self) -> bytes:
        catalog = self.catalog()
        if catalog is None:
            return b"null"
        shown = {
            "tables": [
                {
                    "schema": table.name.schema,
                    "name": table.name.name,
                    "columns": list(table.columns),
                    "primary_key": list(table.primary_key),
                }
                for table in catalog.tables.values()
            ],
            "relationships": [
                {
                    "table": relationship.table.name,
                    "foreign": relationship.foreign.name,
                    "cardinality": relationship.cardinality.value,
                    "constraint": relationship.constraint,
                }
                for found in catalog.relationships.values()
                for relationship in found
            ],
            "functions": [
                {"schema": name.schema, "name": name.name, "parameters": [p.name for p in routine.parameters]}
                for name, overloads in catalog.routines.items()
                for routine in overloads
            ],
        }
        return json.dumps(shown, ensure_ascii=False).encode()
