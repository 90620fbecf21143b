"""One line of `ecotrips check`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one part; `well` is None when there was nothing to judge."""

    part: str
    well: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "BAD ", None: "-   "}[self.well]
        return f"{mark} {self.part:<14} {self.detail}"
