"""The systemd units are understood by systemd, hardened, and start commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from src.commands.settings import rows
from tests.support.processes import ROOT
from tests.support.programs import program

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
MAX_EXPOSURE = 20  # tenths, of 100; systemd calls up to 2.0 "OK" and the usual unit has 9.6


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
    analyze("security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", str(unit))


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


def test_commands_run_as_the_service_does(tmp_path: Path) -> None:
    """`deploy/ecotrips`, with a systemd-run that tells what it is given, and options that the real one knows."""
    (tmp_path / "systemd-run").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "systemd-run").chmod(0o755)

    def given(*arguments: str) -> list[str]:
        run = [str(ROOT / "deploy" / "ecotrips"), *arguments]
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout.splitlines()

    [apply] = [unit for unit in SERVICES if unit.stem == "ecotrips-apply"]
    lines = set(apply.read_text().splitlines())
    owner = "EnvironmentFile=/etc/ecotrips/owner.env"
    for arguments, owns in (("ledger", "verify"), False), (("db", "psql", "-c", "select 'a b'"), True):
        words = given(*arguments)
        command = words.index("/opt/ecotrips/.venv/bin/ecotrips")
        assert words[command + 1 :] == list(arguments)
        properties = [word.removeprefix("--property=") for word in words[:command] if word.startswith("--property=")]
        assert set(properties) <= lines
        assert (owner in properties) is owns
        assert "--pipe" in words
    known = subprocess.run(["/usr/bin/systemd-run", "--help"], capture_output=True, text=True, check=False).stdout
    for option in re.findall(r"--[a-z-]+", (ROOT / "deploy" / "ecotrips").read_text()) if known else []:
        assert option in known, option


def test_the_settings_that_production_needs_stand_in_the_template() -> None:
    named = set(re.findall(r"^(\w+)=", (ROOT / "deploy" / "settings.template").read_text(), re.MULTILINE))
    assert {row.name for row in rows() if row.needed} <= named <= {row.name for row in rows()}
