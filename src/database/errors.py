"""What the ground floor raises of its own, and what of the server's errors may be tried again."""

from __future__ import annotations

import asyncpg

# SQLSTATE classes and codes that mean "try again": connection lost, resources, lock or statement time-outs,
# shutdown, serialization failure, deadlock. A read-only server (a standby just promoted elsewhere) too.
TRANSIENT_CLASSES = frozenset({"08", "53", "57", "58"})
TRANSIENT_CODES = frozenset({"40001", "40P01", "55P03", "25006"})


class PoolTimeout(Exception):
    """No connection became free in time; the message is for clients."""


def is_transient(error: asyncpg.PostgresError) -> bool:
    """Whether the same statement may succeed later."""
    code = error.sqlstate or ""
    return code[:2] in TRANSIENT_CLASSES or code in TRANSIENT_CODES
