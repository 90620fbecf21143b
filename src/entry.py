"""What the shell runs: `ecotrips`, and no traceback for who stops it while it is being loaded."""

from __future__ import annotations

import os


def main() -> None:
    try:
        from src import cli  # noqa: PLC0415 - this is what takes its time

        cli.main()
    except KeyboardInterrupt:
        os._exit(130)
