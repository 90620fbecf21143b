"""What every command's module is given.

A command sets `run`, and `passes_on=True` when `others`, the arguments that it does not know, are for another program.
"""

import argparse
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # The class is not made for annotations at run time, though everybody annotates with it.
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name
else:
    Commands = object


def group(commands: Commands, name: str, text: str) -> Commands:
    """A command that only holds others, such as `db`."""
    return commands.add_parser(name, help=text).add_subparsers(dest="action", required=True)
