"""AUDIT lines: one per call, greppable, in the runbook's two shapes ("Interpreting audit logs")."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

# The form of ids, states, amounts and timestamps. Other facts may be chosen by a caller, be long or name a person, so a
# digest stands for them.
MAX_WORD_LENGTH = 128
WORD = re.compile(r"[A-Za-z0-9_.:/+-]*")
DIGEST_DIGITS = 16


NO_FACTS: Mapping[str, object] = {}


class AuditLine(NamedTuple):
    """One line. `facts` hold ids, states and amounts, never personal data nor a name that somebody chose.

    The `ops.*` family joins its facts in `details` and names the actor only as bearer or anonymous.
    """

    action: str
    request_id: str
    actor: str
    facts: Mapping[str, object] = NO_FACTS

    def __str__(self) -> str:
        texts = [self.request_id, *["" if value is None else str(value) for value in self.facts.values()]]
        # Nearly always all facts are words, which one match shows.
        together = "".join(texts)
        if len(together) > MAX_WORD_LENGTH or not WORD.fullmatch(together):
            texts = [word(text) for text in texts]
        facts = [f"{name}={text}" for name, text in zip(self.facts, texts[1:], strict=True)]
        if self.action.startswith("ops."):
            actor = "anonymous" if self.actor == "anonymous" else "bearer"
            facts = [f"details={'|'.join(facts)}"]
        else:
            actor = self.actor
        return " ".join([f"AUDIT {self.action} requestId={texts[0]} actor={actor}", *facts])


def word(text: str) -> str:
    """The text in a form that cannot end the line, add facts or fill the log."""
    return text if len(text) <= MAX_WORD_LENGTH and WORD.fullmatch(text) else f"sha256:{digest(text)}"


def digest(text: str) -> str:
    """The beginning of a text's SHA-256, by which those who know the text find it."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST_DIGITS]
