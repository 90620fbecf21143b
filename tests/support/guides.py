"""The commands that the documentation shows, to be run as they stand."""

from __future__ import annotations

import re
import shlex
import textwrap

from src.settings.setting import SECRET_NAME
from tests.support.processes import ROOT


def blocks(document: str, language: str, heading: str = "") -> list[str]:
    """The code of a language in a document, or below one of its headings, block by block."""
    text = (ROOT / document).read_text()
    if heading:
        text = text.partition(heading)[2].partition("\n## ")[0]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def leaving(login: str) -> list[list[str]]:
    """What `ecotrips db psql` is given, line by line, when a person leaves (docs/operate.md)."""
    lines = "".join(blocks("docs/operate.md", "sh")).replace("\\\n", "").replace("amina", login).splitlines()
    told = [shlex.split(line)[3:] for line in lines if line.startswith("ecotrips db psql") and login in line]
    return [words for words in told if "create role" not in words[1]]


def secret_settings() -> set[str]:
    """What src/settings/table.py declares that is a secret, or an address with a password in it."""
    named = set(re.findall(r'"([A-Z][A-Z0-9]*_[A-Z0-9_]+)"', (ROOT / "src" / "settings" / "table.py").read_text()))
    return {name for name in named if SECRET_NAME.search(name) or re.fullmatch(r"DATABASE_(\w+_)?URL", name)}
