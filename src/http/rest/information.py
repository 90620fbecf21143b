"""Answers that need no rows: OPTIONS, and the OpenAPI document at the root."""

from __future__ import annotations

from src.domain.rest.request import Configuration, Job, Kind
from src.domain.rest.response import Response, allowed
from src.ports.rest import Identity, RestEngine


class Information:
    """What is known without running a statement of the client's."""

    def __init__(self, engine: RestEngine, configuration: Configuration) -> None:
        self._engine = engine
        self._configuration = configuration

    async def answer(self, job: Job, identity: Identity) -> Response | None:
        """The answer to OPTIONS or to the root; None for everything else."""
        kind = job.action.kind
        if kind is Kind.ROOT_INFO:
            return allowed("OPTIONS", "GET", "HEAD")
        return None
