"""docs/operate.md runs as it stands: its shell blocks as one session, its SQL blocks in psql as the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from src.database.embedded import binaries
from tests.support.guides import blocks
from tests.support.processes import command, environment, free_port

BIND_SINCE = 16
SERVICES = "; -- --service"


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
        # As staff, who are refused where the guide says so and nowhere else.
        staff = psql(tmp_path, env)
        lines = psql_session().splitlines()
        refused = {int(line) for line in re.findall(r"psql:<stdin>:(\d+): ERROR", staff.stderr)}
        assert {lines[number - 1] for number in refused} == {line for line in lines if line.endswith(SERVICES)}
        assert staff.stderr.count("ERROR") == len(refused), staff.stderr
        service = psql(tmp_path, env, "--service", "-v", "ON_ERROR_STOP=1")
        assert service.returncode == 0, service.stderr
        assert "ERROR" not in service.stderr


def psql(folder: Path, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The SQL blocks as they stand in the guide, in `ecotrips psql`."""
    return subprocess.run(
        [sys.executable, "-m", "src.cli", "psql", *arguments, "-f", "-"],
        input=psql_session(),
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
