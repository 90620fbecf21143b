"""A Hotelbeds of our own on loopback: signatures, gzip, availability, checkrates, bookings, quotas, and bad days.

What it does wrong is its `behaviour`, set by tests, or by hand with `PUT /control`. A hotel's code may decide too, so
that a person can see a failure through the service by asking for a quote:

    9404  nobody knows this hotel            9403  credentials refused
    9409  the last room is sold meanwhile    9429  too many calls
    9110  a tenth dearer when checked        9503  overloaded
    9500  a failure of the supplier's own    9600  the day's quota is used up (XML)
    9601  silence                            9602  the connection is reset
    9603  gzip that ends too soon            9604  no JSON
    9605  a body that trickles in            9606  JSON deeper than any answer is

A booking whose clientReference begins with LOST is made, but its answer is lost.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

from tests.fakes.hbx import bookings, hotels, limits
from tests.fakes.hbx.hotels import Json, Rate, Refused
from tests.fakes.wire import Reply, Request, deep, listening

MAX_SKEW = 300
MODES_BY_HOTEL = {
    9403: "refused",
    9429: "limited",
    9503: "overloaded",
    9500: "broken",
    9600: "quota",
    9601: "slow",
    9602: "reset",
    9603: "truncated",
    9604: "nonsense",
    9605: "trickling",
    9606: "deep",
}


@dataclass
class Behaviour:
    """`mode` is "well" or one of MODES_BY_HOTEL; `times` ends it after so many answers.

    `latency` and `rate_key_seconds` are seconds. `per_second` and `per_day` limit the calls.
    """

    mode: str = "well"
    times: int | None = None
    retry_after: str = ""
    latency: float = 0.0
    raise_percent: int = 0
    sold_out: bool = False
    flipped: bool = False
    rate_key_seconds: int = 1800
    per_second: int | None = None
    per_day: int | None = None


class FakeHbx:
    """`calls` has the timestamp, path and body of each request; `held` keeps answers back until it is set."""

    key = "key"
    secret = "secret"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.behaviour = Behaviour()
        self.calls: list[tuple[float, str, Json]] = []
        self.held: asyncio.Event | None = None
        self.url = ""
        self.bookings = bookings.Bookings(self._sellable)
        self._quota = limits.Quota()
        self._grudges = limits.Grudges()

    async def __call__(self, request: Request) -> Reply:
        if request.path == "/control":
            return self._control(request)
        try:
            asked = json.loads(request.body or b"{}")
        except ValueError:
            return Reply(400, {"error": "Malformed JSON"})
        self.calls.append((time.monotonic(), request.path, asked))
        if not self._signed(request.headers):
            return Reply(401, {"error": "Request signature verification failed"})
        behaviour, mode = self.behaviour, self._mode(asked)
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(behaviour.latency)
        if (failure := self._over_quota(behaviour)) is not None:
            return failure
        if mode == "slow":
            await asyncio.sleep(600)
        return self._bad_day(mode, behaviour) or self._packed(request, mode, self._answer(request, asked))

    def _mode(self, asked: Json) -> str:
        behaviour = self.behaviour
        if behaviour.mode == "well":
            return MODES_BY_HOTEL.get((asked.get("hotels") or {}).get("hotel", [0])[0], "well")
        if behaviour.times is not None:
            behaviour.times -= 1
            if behaviour.times <= 0:
                self.behaviour = Behaviour()
        return behaviour.mode

    def _over_quota(self, behaviour: Behaviour) -> Reply | None:
        passes = self._quota.spend(self.clock(), behaviour.per_second, behaviour.per_day)
        if passes is None:
            return limits.over_day(self.clock(), behaviour.retry_after)
        return None if passes else Reply(429, {"error": "Rate limit exceeded"}, _wish(behaviour))

    def _bad_day(self, mode: str, behaviour: Behaviour) -> Reply | None:
        answers = {
            "reset": Reply(0, None, hang_up=True),
            "overloaded": Reply(503, _error("SERVICE_OVERLOAD", "later"), _wish(behaviour)),
            "limited": Reply(429, {"error": "Rate limit exceeded"}, _wish(behaviour)),
            "refused": Reply(403, {"error": "Access to this API has been disallowed"}),
            "nonsense": Reply(200, b'{"hotels": {'),
            "deep": Reply(200, deep()),
            "quota": limits.over_day(self.clock(), behaviour.retry_after),
            "broken": Reply(500, _error("SYSTEM_ERROR", "x")),
        }
        return answers.get(mode)

    def _answer(self, request: Request, asked: Json) -> Reply:
        remembered = request.path.encode() + request.body
        if self._grudges.hold(remembered, self.clock()):
            return Reply(410, _error("INVALID_REQUEST", "This request has just failed; do not repeat it"))
        audit: Json = {"processTime": "12", "requestHost": "10.0.0.1", "token": "A"}
        if self.behaviour.flipped:
            audit["requestHost"] = [audit["requestHost"]]
        try:
            body = self._found(request, asked)
        except (Refused, LookupError, TypeError) as error:
            refused = error if isinstance(error, Refused) else Refused(400, "INVALID_REQUEST", "A field is missing")
            if request.method == "POST" and not request.path.endswith("/hotels"):
                self._grudges.since[remembered] = self.clock()
            return Reply(refused.status, {"auditData": audit, **_error(refused.category, str(refused))})
        lost = str(asked.get("clientReference", "")).startswith("LOST")
        return Reply(200 if body else 596, {"auditData": audit, **(body or {"error": "Wrong endpoint"})}, hang_up=lost)

    def _found(self, request: Request, asked: Json) -> Json:
        match request.method, request.path.removeprefix("/hotel-api/1.0"):
            case "GET", "/status":
                return {"status": "OK"}
            case "POST", "/hotels":
                return hotels.available(asked, self.clock(), flipped=self.behaviour.flipped)
            case "POST", "/checkrates":
                rates = [self._sellable(room["rateKey"]) for room in asked["rooms"]]
                return hotels.checked(rates[0], self.clock(), self.behaviour.raise_percent)
            case _, path if path.startswith("/bookings"):
                return self.bookings.answer(request, asked)
        return {}

    def _sellable(self, key: str) -> Rate:
        rate = Rate.of(key)
        if self.clock() - rate.issued > self.behaviour.rate_key_seconds:
            raise Refused(500, "PRODUCT_ERROR", "The rate is no longer valid")
        if self.behaviour.sold_out or rate.hotel == hotels.SOLD_OUT:
            raise Refused(500, "PRODUCT_ERROR", "Insufficient allotment")
        return rate

    @staticmethod
    def _packed(request: Request, mode: str, reply: Reply) -> Reply:
        body, headers = json.dumps(reply.body).encode(), reply.headers
        if mode == "trickling":
            return Reply(reply.status, body, headers, trickle=1)
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers = gzip.compress(body), (*headers, ("content-encoding", "gzip"))
        return Reply(reply.status, body[:-20] if mode == "truncated" else body, headers, reply.hang_up)

    def _signed(self, headers: dict[str, str]) -> bool:
        now = int(self.clock())
        signatures = {
            hashlib.sha256(f"{self.key}{self.secret}{now + skew}".encode()).hexdigest()
            for skew in range(-MAX_SKEW, MAX_SKEW + 1)
        }
        return headers.get("api-key") == self.key and headers.get("x-signature") in signatures

    def _control(self, request: Request) -> Reply:
        given: dict[str, Any] = json.loads(request.body or b"{}")
        unknown = given.keys() - {known.name for known in fields(Behaviour)}
        modes = ["well", *MODES_BY_HOTEL.values()]
        if unknown or given.get("mode", "well") not in modes:
            return Reply(400, {"unknown": sorted(unknown), "modes": modes})
        if request.method == "PUT":
            self.behaviour = Behaviour(**given)
        return Reply(200, {**asdict(self.behaviour), "calls": len(self.calls)})


def _wish(behaviour: Behaviour) -> tuple[tuple[str, str], ...]:
    return (("retry-after", behaviour.retry_after),) if behaviour.retry_after else ()


def _error(category: str, message: str) -> Json:
    return {"error": {"code": f"{category}-A", "message": message}}


@asynccontextmanager
async def running(
    port: int = 0, tls: ssl.SSLContext | None = None, clock: Callable[[], float] = time.time
) -> AsyncIterator[FakeHbx]:
    """The fake on loopback; `url` is where."""
    fake = FakeHbx(clock)
    async with listening(fake, port, tls) as fake.url:
        yield fake
