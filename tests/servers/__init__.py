"""PostgreSQL of every release that the service runs on: Debian's 15, npm's 16 and 17, and the 18 that comes along."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from src.database.embedded import binaries
from tests.support import npm

RELEASES = ("15", "16", "17", "18")
DEBIANS = Path("/usr/lib/postgresql/15/bin")


def programs(release: str) -> Path:
    """The folder of a release's programs. Skips the test, or fails in CI, where it cannot be had."""
    if release == "15":
        if not (DEBIANS / "postgres").exists():
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing("POSTGRESQL 15 WAS NOT TRIED: install Debian's package postgresql-15")
        return DEBIANS
    if release == "18":
        return binaries()
    package = npm.installed(Path(__file__).parent / "package.json") / "node_modules" / f"postgres-{release}"
    # What npm does not carry.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
    found = package / "native" / "bin"
    for program in found.iterdir():
        program.chmod(0o755)
    return found
