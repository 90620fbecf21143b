"""The systemd units are understood by systemd, hardened, and start commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.programs import program

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
LARGEST_EXPOSURE = 20  # tenths, of 100; systemd calls up to 2.0 "OK" and the usual unit has 9.6


def analyze(*arguments: str) -> str:
    run = [program("systemd-analyze", "systemd"), "--no-pager", *arguments]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(unit: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read(unit)
    return parser


def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/opt/ecotrips/.venv/bin/ecotrips", sys.executable)
        (tmp_path / unit.name.replace("@", "@8001")).write_text(text)
    assert analyze("verify", *map(str, tmp_path.iterdir())) == ""


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: str(unit.name))
def test_every_service_may_little(unit: Path) -> None:
    analyze("security", "--offline=yes", f"--threshold={LARGEST_EXPOSURE}", str(unit))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: str(unit.name))
def test_every_service_starts_a_command_that_exists(unit: Path) -> None:
    section = read(unit)["Service"]
    found = re.search(r"bin/ecotrips ((?:[a-z]+ ?)+)", section["ExecStart"])
    assert found, unit
    run = [sys.executable, "-m", "src.cli", *found[1].split(), "--help"]
    assert subprocess.run(run, cwd=ROOT, capture_output=True, check=False).returncode == 0, found[1]
    assert section["User"] == "ecotrips"
    # Who serves and works has no business with the owner's password.
    assert ("owner.env" in unit.read_text()) == (unit.stem in ("ecotrips-apply", "ecotrips-backup"))
