"""The whole runbook by HTTP as one scripted session; by psql it is sql/examples/runbook.sql."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.processes import command, environment, free_port

SESSION = Path(__file__).with_name("session.sh")
LEAST_ANSWERS = 38


def test_the_runbook_top_to_bottom_by_http(tmp_path: Path) -> None:
    data = tmp_path / "data"
    env = environment(PORT=str(free_port()), DATA_DIR=str(data))
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    with command(tmp_path, "demo", ready="Try it in another terminal", env=env):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"source {data / 'dev.env'}; source {SESSION}"],  # noqa: S607 - any bash
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    answers = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert len(answers) >= LEAST_ANSWERS
    assert [answer for answer in answers if answer.get("ok") is not True] == []
