"""`make run` in a fresh clone says what it does at once, and goes on saying it while pip says nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.processes import ROOT

# A Python whose steps take a while and say nothing, as the real one's.
PYTHON = """#!/bin/sh
case "$*" in
*"-m venv"*) sleep "$PAUSE"; mkdir -p .venv/bin; cp "$0" .venv/bin/python
  printf '#!/bin/sh\\necho ready\\n' >.venv/bin/ecotrips
  chmod +x .venv/bin/ecotrips ;;
*"-m pip"*) sleep "$PAUSE"; [ ! -e broken ] || { echo "no such package" >&2; exit 1; } ;;
esac
"""
SOON, OFTEN = 2.0, 5.0  # seconds


def make(folder: Path, pause: int) -> tuple[int, list[tuple[float, str]]]:
    """The exit status, and each line with its second."""
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    began, lines = time.monotonic(), []
    run = ["make", "run", f"PYTHON={folder}/python"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env["PAUSE"] = str(pause)
    process = subprocess.Popen(run, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        assert process.stdout is not None
        lines = [(time.monotonic() - began, line.strip()) for line in process.stdout]
    return process.returncode, lines


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("make") is None, reason="*** make is not installed")
def test_it_is_never_silent_for_long(tmp_path: Path) -> None:
    status, lines = make(tmp_path, 5)
    assert (status, lines[-1][1]) == (0, "ready"), lines
    moments = [0.0, *(moment for moment, _ in lines)]
    assert moments[1] < SOON, lines
    assert max(after - before for before, after in pairwise(moments)) < OFTEN, lines


@pytest.mark.skipif(shutil.which("make") is None, reason="*** make is not installed")
def test_what_fails_says_so_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    status, lines = make(tmp_path, 0)
    assert status != 0
    said = [line for _, line in lines]
    assert "no such package" in said
    assert any("the requirements could not be installed" in line for line in said)
    (tmp_path / "broken").unlink()
    assert make(tmp_path, 0)[0] == 0
