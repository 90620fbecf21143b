"""Named counters of clients."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Increment:
    """What to add to which counter; negative to take away."""

    name: str
    delta: int = 1
