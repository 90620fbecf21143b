"""Lists that come in pages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One page as the finished JSON body of its endpoint, and how many rows it holds."""

    body: bytes
    results: int
