"""docs/operate.md runs as it stands: its shell blocks as one session, its SQL blocks in psql as the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from src.adapters.postgres.embedded import binaries
from tests.house.guides import blocks
from tests.processes import command, environment, free_port

BIND_SINCE = 16


def session(language: str) -> str:
    """All blocks of a language, one after the other."""
    return "\n".join(blocks("docs/operate.md", language))


def psql_session() -> str:
    """The SQL blocks, without what the server's psql does not know yet: the guide says since when `bind` is there."""
    version = subprocess.run([binaries(os.environ.get("POSTGRES_BIN")) / "psql", "-V"], capture_output=True, check=True)
    lines = session("sql").splitlines(keepends=True)
    knows_bind = int(version.stdout.split(b") ")[1].split(b".")[0]) >= BIND_SINCE
    return "".join(line for line in lines if knows_bind or "\\bind" not in line)


def test_every_command_of_the_operators_guide_works(tmp_path: Path) -> None:
    env = environment(PORT=str(free_port()), DATA_DIR=str(tmp_path / "data"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with command(tmp_path, "demo", ready="Try it in another terminal", env=env):
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", session("sh")],  # noqa: S607 - whichever bash the operator has
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shell.returncode == 0, (shell.stdout[-2000:], shell.stderr)
        assert '"ok":false' not in shell.stdout.replace(" ", "")
        psql = subprocess.run(
            [sys.executable, "-m", "src.cli", "psql", "--service", "-v", "ON_ERROR_STOP=1"],
            input=psql_session(),
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert psql.returncode == 0, psql.stderr
        assert "ERROR" not in psql.stderr
