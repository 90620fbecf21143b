"""What the command line takes: numbers within bounds, and only tokens that somebody can use."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.cli import parser
from src.commands.tokens import MAX_HOURS
from src.database.dsn import fault
from tests.support.processes import ROOT, ecotrips, environment

USER = "33333333-3333-4333-8333-333333333333"


def options(made: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in made._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from options(inner)
        else:
            yield action


def test_every_number_has_bounds() -> None:
    kinds = {action.type for action in options(parser()) if callable(action.type)}
    assert not kinds & {int, float, complex}
    numbers = [kind for kind in kinds if "number" in getattr(kind, "__qualname__", "")]
    assert len(numbers) >= 5
    for kind in numbers:
        for text in ("-1", "9" * 13, "nan", "1.5", "", "0x1"):
            with pytest.raises(argparse.ArgumentTypeError, match=" is no whole number from "):
                kind(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["authenticated"], "--user says whose token it is"),
        (["authenticated", "--user", "bob"], "'bob' is no uuid"),
        (["authenticated", "--user", USER, "--hours", "0"], "is no whole number from 1 to "),
        (["authenticated", "--user", USER, "--hours", str(MAX_HOURS + 1)], "is no whole number from 1 to "),
        (["anon", "--user", USER], "anon is nobody's: without --user"),
        (["service_role", "--user", USER], "service_role is nobody's: without --user"),
    ],
)
def test_what_nobody_could_use_is_not_signed(arguments: list[str], said: str) -> None:
    done = ecotrips(ROOT, "token", *arguments, DATABASE_URL="postgresql://admin@localhost/nothing")
    assert (done.returncode in {1, 2}, done.stdout) == (True, "")
    assert said in done.stderr


def test_a_name_that_no_setting_has_is_said() -> None:
    done = ecotrips(ROOT, "settings", "STRIPE", "NOPE")
    assert (done.returncode, done.stderr) == (1, "ecotrips: no setting's name begins with NOPE\n")
    assert "Unless it is set it is 0; in production 1." in ecotrips(ROOT, "settings", "RATE_LIMITS").stdout


def test_output_that_nobody_reads_ends_as_by_its_signal() -> None:
    script = (
        "import os, sys, src.cli\n"
        "def told(*_): os.write(1, b'x')\n"
        "sys.exit(src.cli._run(type('Arguments', (), {'run': told, 'names_faults': True})))"
    )
    reads, writes = os.pipe()
    os.close(reads)
    run = [sys.executable, "-c", script]
    done = subprocess.run(
        run, cwd=ROOT, env=environment(), stdout=writes, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_file_that_this_user_may_not_read_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    url = "postgresql://admin@db.internal/ecotrips?sslmode=verify-full&sslrootcert=/root/ca.pem"
    assert fault(url, {}) == "sslrootcert names a file that this user may not read (/root/ca.pem)"
