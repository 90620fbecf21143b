"""How often the fake may be asked, and what it does not want to be asked again."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from tests.fakes.wire import Reply

DAY = 24 * 3600
GRUDGE_SECONDS = 15 * 60
XML = (("content-type", "text/xml"),)


@dataclass
class Quota:
    """A token bucket that refills every second, and a count that ends with the UTC day."""

    tokens: float = 0
    refilled_at: float = 0
    day: int = 0
    today: int = 0

    def spend(self, now: float, per_second: int | None, per_day: int | None) -> bool | None:
        """True when the call may pass, False when it comes too soon, None when the day's calls are used up."""
        if int(now // DAY) != self.day:
            self.day, self.today = int(now // DAY), 0
        self.today += 1
        if per_day is not None and self.today > per_day:
            return None
        if per_second is None:
            return True
        self.tokens = min(float(per_second), self.tokens + (now - self.refilled_at) * per_second)
        self.refilled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def over_day(now: float, retry_after: str) -> Reply:
    """The old gateway's page. Retry-After is the rest of the day unless given."""
    rest = retry_after or str(ceil(DAY - now % DAY))
    headers = (*XML, ("x-mashery-error-code", "ERR_403_DEVELOPER_OVER_RATE"), ("retry-after", rest))
    return Reply(403, b'<?xml version="1.0"?><h1>403 Developer Over Rate</h1>', headers)


@dataclass
class Grudges:
    """A failing request is not to be repeated unchanged: for 15 minutes the answer is 410."""

    since: dict[bytes, float] = field(default_factory=dict)

    def hold(self, request: bytes, now: float) -> bool:
        return now - self.since.get(request, -GRUDGE_SECONDS) < GRUDGE_SECONDS
