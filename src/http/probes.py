"""`synthetics-probe` (docs/api.md, Small services): the service calls itself like a client."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import msgspec
from litestar import Controller
from litestar.di import NamedDependency

from src.http.call import Access, Answer, Call
from src.http.endpoint import GET, endpoint

# Calls a path with the caller's headers and returns the status.
Ask = Callable[[str, dict[bytes, bytes]], Awaitable[int]]

READ = "/functions/v1/ops-bookings?page_size=1"


class ProbeResult(msgspec.Struct, frozen=True):
    fn: str
    status: int
    ms: float
    ok: bool


class ProbeAnswer(msgspec.Struct, frozen=True):
    """`availability` is the share of what answered, from 0 to 1."""

    ok: bool
    ts: str
    request_id: str
    ok_count: int
    fail_count: int
    availability: float
    results: list[ProbeResult]


class ProbesController(Controller):
    @endpoint(
        "synthetics-probe",
        audit="synthetics.probe",
        method=GET,
        access=Access.SERVICE,
        per_minute=None,
        statuses=(200, 503),
    )
    async def probe(
        self, call: Call, endpoint_names: NamedDependency[Sequence[str]], loopback: NamedDependency[Ask]
    ) -> Answer[ProbeAnswer]:
        """Ask every function's health and read one page of bookings; 503 when one of them fails."""
        healths = [(name, f"/functions/v1/{name}/health") for name in endpoint_names]
        results = await asyncio.gather(
            *(_asked(name, path, call, loopback) for name, path in [*healths, ("ops-bookings:read", READ)])
        )
        succeeded = sum(result.ok for result in results)
        failed = len(results) - succeeded
        call.note(ok=succeeded, failed=failed)
        answer = ProbeAnswer(
            ok=not failed,
            ts=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            request_id=call.context.request_id,
            ok_count=succeeded,
            fail_count=failed,
            availability=round(succeeded / len(results), 4),
            results=list(results),
        )
        return Answer(msgspec.json.encode(answer), status=503 if failed else 200)


async def _asked(name: str, path: str, call: Call, ask: Ask) -> ProbeResult:
    began = time.perf_counter()
    status = await ask(path, call.headers)
    milliseconds = round((time.perf_counter() - began) * 1000, 3)
    return ProbeResult(name, status, milliseconds, ok=200 <= status < 300)  # noqa: PLR2004 - success in HTTP
