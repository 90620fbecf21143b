"""The Range header (RFC 9110, section 14): one range of bytes; everything else means the whole object."""

import re

from src.domain.errors import DomainError

# Longer numbers are no sizes.
ONE_RANGE = re.compile(rb"bytes=[ \t]*(\d{0,20})-(\d{0,20})[ \t]*")


class RangeUnsatisfiable(DomainError):
    """The object has no byte of the range; `size` is the object's, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__("The object has no such range")
        self.size = size


def asked_range(header: bytes | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last, or None for the whole. Raises RangeUnsatisfiable."""
    found = ONE_RANGE.fullmatch(header) if header is not None else None
    if found is None or found[1] == found[2] == b"":
        return None
    if found[1] == b"":
        start, end = max(size - int(found[2]), 0), size
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise RangeUnsatisfiable(size)
    return start, end
