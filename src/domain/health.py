"""Whether the service can do its work."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """Each part with `ok` or what is wrong with it, and the switches in force."""

    parts: Mapping[str, str]
    switches: Mapping[str, str]

    @property
    def ready(self) -> bool:
        return all(verdict == "ok" for verdict in self.parts.values())
