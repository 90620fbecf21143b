"""A repeated request gets the first answer again (docs/api.md, Idempotency-Key)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The HTTP status and body that the first request got."""

    status: int
    body: bytes
