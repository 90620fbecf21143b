"""The ops queue of things that went wrong (API.md section 2)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExceptionsQuery:
    """Which exceptions: those in one status (open, retrying or resolved), one page."""

    status: str | None = None
    page: int = 1
    page_size: int = 20
