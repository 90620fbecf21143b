"""The Prefer header (RFC 7240)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from src.rest.errors import RestError

WORDS = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "missing": ("default", "null"),
    "handling": ("strict", "lenient"),
}
FREE = ("timezone", "max-affected")
APPLIED_ORDER = ("resolution", "missing", "return", "count", "tx", "handling", "timezone", "max-affected")


@dataclass(frozen=True, slots=True)
class Preferences:
    """Known preferences; `unknown` ones are not understood. `max_affected` is a number of rows."""

    resolution: str | None = None
    representation: str | None = None
    count: str | None = None
    transaction: str | None = None
    missing: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    read: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def strict(self) -> bool:
        return self.handling == "strict"

    @property
    def counts(self) -> bool:
        """Whether the statement itself counts rows."""
        return self.count in ("exact", "estimated")

    def refuse_unknown(self) -> None:
        """Raise RestError PGRST122 when handling=strict and something is not understood."""
        if self.strict and self.unknown:
            raise RestError(
                400,
                "PGRST122",
                "Invalid preferences given with handling=strict",
                f"Invalid preferences: {', '.join(self.unknown)}",
            )


NO_PREFERENCES = Preferences()


def parse_preferences(headers: Iterable[str], *, may_end_transaction: bool) -> Preferences:
    """Read all Prefer headers. The first value of each preference counts."""
    words = [word.strip() for header in headers for word in header.split(",")]
    if not words:
        return NO_PREFERENCES
    found: dict[str, str] = {}
    unknown = []
    for word in words:
        name, _, value = word.partition("=")
        if value in WORDS.get(name, ()) or (name in FREE and "=" in word):
            found.setdefault(name, value)
        elif word != "read":
            unknown.append(word)
    limit = found.get("max-affected", "")
    return Preferences(
        resolution=found.get("resolution"),
        representation=found.get("return"),
        count=found.get("count"),
        transaction=found.get("tx") if may_end_transaction else None,
        missing=found.get("missing"),
        handling=found.get("handling"),
        timezone=found.get("timezone"),
        max_affected=int(limit[:18]) if limit.isdecimal() else None,
        read="read" in words,
        unknown=tuple(unknown),
    )


def applied(preferences: Preferences, *names: str) -> str | None:
    """The Preference-Applied header for those of `names` that were asked for, in PostgREST's order."""
    values = {
        "resolution": preferences.resolution,
        "missing": preferences.missing,
        "return": preferences.representation,
        "count": preferences.count,
        "tx": preferences.transaction,
        "handling": preferences.handling,
        "timezone": preferences.timezone,
        "max-affected": preferences.max_affected if preferences.strict else None,
    }
    parts = [f"{name}={values[name]}" for name in APPLIED_ORDER if name in names and values[name] is not None]
    return ", ".join(parts) or None
