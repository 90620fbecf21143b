"""Helpers for the arguments of commands.

A command sets `run`, and `passes_on=True` when its unknown arguments (`others`) go to another program.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # argparse's class has no public name.
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name
else:
    Commands = object

# Longer texts are refused, because converting thousands of digits is slow.
MAX_DIGITS = 12


def group(commands: Commands, name: str, text: str) -> Commands:
    """A command that holds others, such as `db`."""
    return commands.add_parser(name, help=text).add_subparsers(dest="action", required=True)


def number(minimum: int, maximum: int) -> Callable[[str], int]:
    """The type of options that take a whole number from `minimum` to `maximum`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and minimum <= int(text) <= maximum):
            message = f"{text!r:.40} is no whole number from {minimum} to {maximum}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return read
