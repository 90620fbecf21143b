"""What the command line takes: numbers within bounds, and only tokens that somebody can use."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from src.cli import parser
from src.commands.tokens import MOST_HOURS
from tests.processes import ROOT, ecotrips

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
        (["authenticated", "--user", USER, "--hours", str(MOST_HOURS + 1)], "is no whole number from 1 to "),
        (["anon", "--user", USER], "anon is nobody's: without --user"),
        (["service_role", "--user", USER], "service_role is nobody's: without --user"),
    ],
)
def test_what_nobody_could_use_is_not_signed(arguments: list[str], said: str) -> None:
    done = ecotrips(ROOT, "token", *arguments, DATABASE_URL="postgresql://admin@localhost/nothing")
    assert (done.returncode in {1, 2}, done.stdout) == (True, "")
    assert said in done.stderr
