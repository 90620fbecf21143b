"""What the tests need of Debian is installed by .ci/run, and what could not be is told."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.processes import ROOT

RUN = (ROOT / ".ci" / "run").read_text()
FUNCTIONS = re.findall(r"^\w+\(\) \{.*?^\}", RUN, re.DOTALL | re.MULTILINE)


def sh(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Bash with the functions of .ci/run, on a machine that can install nothing."""
    text = "\n".join(["set -uo pipefail", *FUNCTIONS, script])
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    (folder / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (folder / "apt-get").chmod(0o755)
    return subprocess.run(["/bin/bash", "-c", text], env=env, capture_output=True, text=True, check=False)


def test_every_program_that_a_test_asks_for_is_installed() -> None:
    asked = {
        package
        for file in (ROOT / "tests").rglob("*.py")
        for package in re.findall(r'\bprogram\([^()]+, "([\w.-]+)"\)', file.read_text())
    }
    assert {"prometheus", "nginx-light", "systemd", "pgbouncer"} <= asked
    assert asked <= set(re.findall(r":([\w.-]+)", RUN))


def test_each_missing_package_is_named_whatever_else_is_there(tmp_path: Path) -> None:
    said = sh(tmp_path, "debian sh:dash nowhere-1:first bash:bash /nowhere/2:second; echo $?")
    assert said.stderr == "*** not installed, and needed here: first second\n"
    assert said.stdout == "1\n"
    assert sh(tmp_path, "debian sh:dash bash:bash /bin/sh:dash; echo $?").stdout == "0\n"
