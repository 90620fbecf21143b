"""What both ways in ask of a verified token."""

from __future__ import annotations

import json
from collections.abc import Mapping


def require_storable(claims: Mapping[str, object]) -> None:
    """Raises ValueError for what PostgreSQL's jsonb cannot hold: NUL, half a character, a number beyond all."""
    text = json.dumps(claims, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\\u0000" in text.replace("\\\\", ""):
        message = "NUL in a claim"
        raise ValueError(message)
