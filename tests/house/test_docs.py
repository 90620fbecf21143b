"""What the documentation names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "sql" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"`((?:src|sql|tests|docs|bench|deploy)/[\w./-]+\w)`|\]\(([\w./-]+)\)")


def test_every_file_that_the_documentation_names_exists() -> None:
    missing = [
        f"{document.name}: {name}"
        for document in DOCUMENTS
        for quoted, linked in NAMED.findall(document.read_text())
        for name in [quoted or linked]
        if not (ROOT / name).exists() and not (document.parent / name).exists()
    ]
    assert missing == []
