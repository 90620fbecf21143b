"""The commands that the documentation shows, to be run as they stand."""

from __future__ import annotations

import re
import textwrap

from tests.processes import ROOT


def blocks(document: str, language: str, heading: str = "") -> list[str]:
    """The code of a language in a document, or below one of its headings, block by block."""
    text = (ROOT / document).read_text()
    if heading:
        text = text.partition(heading)[2].partition("\n## ")[0]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]
