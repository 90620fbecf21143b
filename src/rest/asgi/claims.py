"""Finds the role in a token's claims.

`jwt-role-claim-key` is a JSON path with an optional comparison at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

STEP = re.compile(
    r"""\.(?P<name>[\w@$-]+) | \."(?P<quoted>(?:[^"\\]|\\.)*)"
    | \["(?P<double>(?:[^"\\]|\\.)*)"\] | \['(?P<single>[^']*)'\] | \[(?P<index>\d+)\]
    | \[\?\(\s*@\s*(?P<operator>==\^|\^==|\*==|==|!=)\s*["'](?P<operand>[^"']*)["']\s*\)\]""",
    re.VERBOSE,
)
TESTS: dict[str, Callable[[str, str], bool]] = {
    "==": lambda text, operand: text == operand,
    "!=": lambda text, operand: text != operand,
    "^==": lambda text, operand: text.startswith(operand),
    "==^": lambda text, operand: text.endswith(operand),
    "*==": lambda text, operand: operand in text,
}


class BadPathError(ValueError):
    """The path does not parse."""


@dataclass(frozen=True, slots=True)
class ClaimPath:
    """Keys and indices to follow; `operator` and `operand` choose the first element of a list that fits."""

    keys: tuple[str | int, ...]
    operator: str | None = None
    operand: str = ""

    def role(self, claims: object) -> str | None:
        """The role, None when it is missing."""
        value = claims
        for key in self.keys:
            if isinstance(value, dict) and isinstance(key, str):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return None
        if self.operator is not None:
            items = value if isinstance(value, list) else []
            test = TESTS[self.operator]
            value = next((item for item in items if isinstance(item, str) and test(item, self.operand)), None)
        if value is None:
            return None
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def parse_claim_path(text: str) -> ClaimPath:
    """Read `$.role`, `.a."b c"[0]` or `$.roles[?(@ == "x")]`. Raises BadPathError."""
    position = 1 if text.startswith("$") else 0
    keys: list[str | int] = []
    while position < len(text):
        match = STEP.match(text, position)
        if match is None:
            message = f"failed to parse jwt-role-claim-key value ({text})"
            raise BadPathError(message)
        position = match.end()
        if match["operator"] is not None:
            if position != len(text):
                message = f"failed to parse jwt-role-claim-key value ({text})"
                raise BadPathError(message)
            return ClaimPath(tuple(keys), match["operator"], match["operand"])
        if match["index"] is not None:
            keys.append(int(match["index"]))
        else:
            name = next(match[group] for group in ("name", "quoted", "double", "single") if match[group] is not None)
            keys.append(re.sub(r"\\(.)", r"\1", name))
    return ClaimPath(tuple(keys))
