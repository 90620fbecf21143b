"""The commands that the documentation shows, to be run as they stand."""

from __future__ import annotations

import re

from tests.processes import ROOT


def blocks(document: str, language: str) -> list[str]:
    """The code of a language in a document, block by block."""
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
