"""Bookings as operators list them (docs/api.md, Bookings and exceptions)."""

from dataclasses import dataclass
from datetime import date

from src.domain.errors import InputInvalid


@dataclass(frozen=True, slots=True)
class BookingsQuery:
    """Which bookings: start dates in an inclusive range, one supplier's exact code in any letter case, one page."""

    start_from: date | None = None
    start_to: date | None = None
    supplier: str | None = None
    page: int = 1
    page_size: int = 20

    def __post_init__(self) -> None:
        if self.start_from and self.start_to and self.start_from > self.start_to:
            message = "from must not be after to"
            raise InputInvalid(message)
