"""AUDIT lines: one per call, greppable, in the runbook's two shapes ("Interpreting audit logs")."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

# Printable ASCII and everything that no terminal or parser of these lines trips over; the rest is percent-encoded.
UNESCAPED = "!\"#$&'()*+,-./:;<>?@[\\]^_`{}~"
# What most values are made of (ids, dates, amounts, words): looked at once instead of letter by letter.
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]*")


NO_FACTS: Mapping[str, object] = {}


class AuditLine(NamedTuple):
    """One line. `facts` hold ids, states and amounts, never personal data.

    The `ops.*` family joins its facts in `details` and names the actor only as bearer or anonymous.
    """

    action: str
    request_id: str
    actor: str
    facts: Mapping[str, object] = NO_FACTS

    def __str__(self) -> str:
        texts = [self.request_id, *["" if value is None else str(value) for value in self.facts.values()]]
        # Nearly always all are plain, which one look tells.
        if not PLAIN.fullmatch("".join(texts)):
            texts = [escaped(text) for text in texts]
        facts = [f"{name}={text}" for name, text in zip(self.facts, texts[1:], strict=True)]
        if self.action.startswith("ops."):
            actor = "anonymous" if self.actor == "anonymous" else "bearer"
            facts = [f"details={'|'.join(facts)}"]
        else:
            actor = self.actor
        return " ".join([f"AUDIT {self.action} requestId={texts[0]} actor={actor}", *facts])


def escaped(text: str) -> str:
    """The text as it may stand in a line: nobody can end the line or start another fact with it."""
    return text if PLAIN.fullmatch(text) else quote(text, safe=UNESCAPED, errors="replace")
