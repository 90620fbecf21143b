"""AUDIT lines on standard output."""

from __future__ import annotations

import ctypes
import os
import select

from src.domain.audit import AuditLine

STANDARD_OUTPUT = 1


class _Polled(ctypes.Structure):
    """C's struct pollfd."""

    _fields_ = (("descriptor", ctypes.c_int), ("wanted", ctypes.c_short), ("found", ctypes.c_short))


# Python lets go of its lock for each write, the server's own threads take it, and to get it back costs a fifth of a
# small request. Functions of a PyDLL keep it.
_LIBC = ctypes.PyDLL(None)
_POLLED = _Polled(STANDARD_OUTPUT, select.POLLOUT)
_ADDRESS = ctypes.byref(_POLLED)


class StandardOutput:
    """Writes each line with one call, so that lines of concurrent requests never mix."""

    def record(self, line: AuditLine) -> None:
        text = f"{line}\n".encode()
        written = 0
        # Whoever reads a pipe may have stopped: only what fits into it may be written with the lock held.
        if len(text) <= select.PIPE_BUF and _LIBC.poll(_ADDRESS, 1, 0) == 1 and _POLLED.found == select.POLLOUT:
            written = max(_LIBC.write(STANDARD_OUTPUT, text, len(text)), 0)
        while written < len(text):
            written += os.write(STANDARD_OUTPUT, text[written:])
