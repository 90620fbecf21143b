"""The entry point `ecotrips`, which exits without a traceback when interrupted during imports."""

from __future__ import annotations

import os


def main() -> None:
    try:
        from src import cli  # noqa: PLC0415 - this import is slow

        cli.main()
    except KeyboardInterrupt:
        os._exit(130)
