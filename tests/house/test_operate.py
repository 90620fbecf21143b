"""docs/operate.md runs as it stands: its shell blocks as one session, its SQL blocks in psql as the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.guides import blocks
from tests.processes import command, environment, free_port


def session(language: str) -> str:
    """All blocks of a language, one after the other."""
    return "\n".join(blocks("docs/operate.md", language))


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
            input=session("sql"),
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert psql.returncode == 0, psql.stderr
        assert "ERROR" not in psql.stderr
