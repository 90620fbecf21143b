"""`/healthz`, `/readyz` and each endpoint's health (docs/api.md, Health, metrics and documents)."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, SkipValidation

from src.http.openapi import operation_with
from src.ports.health import Readiness


class Health(msgspec.Struct, frozen=True):
    ok: bool


class Ready(msgspec.Struct, frozen=True):
    """`parts` says of each whether it works, `switches` what is mocked."""

    ok: bool
    parts: Mapping[str, str]
    switches: Mapping[str, str]


class EndpointHealth(msgspec.Struct, frozen=True):
    ok: bool
    fn: str
    time: str


READY = {"ok": True, "parts": {"database": "ok"}, "switches": {"USE_FIXTURES": "1"}}
NOT_READY = {"ok": False, "parts": {"database": "away"}, "switches": {}}


class HealthController(Controller):
    @get(
        "/healthz",
        name="healthz",
        operation_class=operation_with(405, open_to_all=True, examples={200: {"ok": True}}),
        sync_to_thread=False,
    )
    def healthz(self) -> Response[Health]:
        """Whether the process answers."""
        return Response(Health(ok=True))

    @get(
        "/readyz",
        name="readyz",
        operation_class=operation_with(405, 500, open_to_all=True, examples={200: READY, 503: NOT_READY}),
        responses={503: ResponseSpec(Ready, description="Not ready; `parts` says what", generate_examples=False)},
    )
    async def readyz(self, readiness: NamedDependency[SkipValidation[Readiness]]) -> Response[Ready]:
        """Whether the database answers and holds the shipped SQL.

        What a load balancer asks before it sends requests here.
        """
        state = await readiness.check()
        ready = Ready(ok=state.ready, parts=dict(state.parts), switches=dict(state.switches))
        return Response(ready, status_code=200 if state.ready else 503)

    @get(
        "/functions/v1/{fn:str}/health",
        name="function-health",
        operation_class=operation_with(
            400,
            404,
            405,
            500,
            open_to_all=True,
            examples={200: {"ok": True, "fn": "bff-checkout", "time": "2026-11-24T09:30:00.000Z"}},
        ),
        sync_to_thread=False,
    )
    def endpoint_health(
        self, fn: FromPath[str], endpoint_names: NamedDependency[Collection[str]]
    ) -> Response[EndpointHealth]:
        """Whether there is a function of this name."""
        if fn not in endpoint_names:
            raise NotFoundException
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Response(EndpointHealth(ok=True, fn=fn, time=time))
