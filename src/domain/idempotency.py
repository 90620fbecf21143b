"""A repeated request gets the first answer again (API.md section 1, Idempotency)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The HTTP status and body that the first request got."""

    status: int
    body: bytes
