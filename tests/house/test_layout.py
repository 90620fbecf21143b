"""Where tests and their helpers stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

# Helpers; fakes of providers, which also run by hand; servers of every release of PostgreSQL.
ROOMS = {"support", "fakes", "servers"}


def imported(file: Path) -> Iterator[str]:
    """The modules that a file names in its imports, and what it takes from them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_is_imported_from_a_test_module() -> None:
    files = [file for folder in ("tests", "bench") for file in (ROOT / folder).rglob("*.py")]
    names = {str(file.relative_to(ROOT)): [*imported(file)] for file in files}
    assert any(name.startswith("tests.support.") for found in names.values() for name in found)
    borrowed = {
        (file, name)
        for file, found in names.items()
        for name in found
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    }
    assert borrowed == set(), "what two modules use belongs into tests/support"


def test_every_helper_stands_in_a_room_of_helpers() -> None:
    files = [file.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("*.py")]
    loose = {
        str(file)
        for file in files
        if file.parts[0] not in ROOMS and file.name not in ("__init__.py", "conftest.py")
        if not file.name.startswith("test_")
    }
    assert loose == set()
