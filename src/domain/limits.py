"""How much one request may ask for, by the caller's role. Both APIs read their limits here (docs/security.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from src.domain.context import Role

MEBIBYTE = 1024 * 1024
# PostgreSQL keeps so many bytes of an identifier.
LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """`depth` counts objects and lists inside each other, `keys` those of one object.

    `values` are the elements of all lists and the members of all objects.
    """

    depth: int = 64
    keys: int = 10_000
    values: int = 100_000


OF_BODIES = JsonLimits()
# Answers of providers are larger than what callers send: a city's hotels with all their rates.
OF_PROVIDERS = JsonLimits(keys=100_000, values=1_000_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """`body` is in bytes."""

    body: int = MEBIBYTE


USER = Limits()
SERVICE = replace(USER, body=64 * MEBIBYTE)
OF_ROLE: Mapping[str, Limits] = {Role.ANONYMOUS.value: USER, Role.USER.value: USER, Role.SERVICE.value: SERVICE}
