"""AUDIT lines: one per call, greppable, in the runbook's two shapes ("Interpreting audit logs")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

# Printable ASCII and everything that no terminal or parser of these lines trips over; the rest is percent-encoded.
UNESCAPED = "!\"#$&'()*+,-./:;<>?@[\\]^_`{}~"
# What most values are made of (ids, dates, amounts, words): looked at once instead of letter by letter.
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]*")


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line. `facts` hold ids, states and amounts, never personal data.

    The `ops.*` family joins its facts in `details` and names the actor only as bearer or anonymous.
    """

    action: str
    request_id: str
    actor: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = [f"{name}={escaped(value)}" for name, value in self.facts.items()]
        if self.action.startswith("ops."):
            actor = "anonymous" if self.actor == "anonymous" else "bearer"
            shown = [f"details={'|'.join(facts)}"]
        else:
            actor = self.actor
            shown = facts
        return " ".join([f"AUDIT {self.action} requestId={escaped(self.request_id)} actor={actor}", *shown])


def escaped(value: object) -> str:
    """The value as it may stand in a line: nobody can end the line or start another fact with it."""
    if value is None:
        return ""
    text = str(value)
    return text if PLAIN.fullmatch(text) else quote(text, safe=UNESCAPED, errors="replace")
