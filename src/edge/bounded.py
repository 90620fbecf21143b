"""Log lines of bounded length, as callers can make messages and tracebacks long."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

MAX_MESSAGE_LENGTH = 2_000
"""Characters."""
DEEPEST_TRACE = 20
"""The innermost frames are kept."""

ROOT = f"{Path(__file__).parents[2]}/"
OURS = f"{ROOT}src/"

Exception_: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]"


def shortened(text: str) -> str:
    """The beginning of a text, and its length."""
    return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[:MAX_MESSAGE_LENGTH]} … ({len(text)} characters)"


def place(frames: TracebackType | None) -> str:
    """Where an error was raised: frames of our code, and the innermost one."""
    found = traceback.extract_tb(frames)
    told = [frame for frame in found if frame.filename.startswith(OURS) or frame is found[-1]]
    lines = (
        f"  {frame.filename.removeprefix(ROOT)}:{frame.lineno} in {frame.name}\n" for frame in told[-DEEPEST_TRACE:]
    )
    return "".join(lines)


class BoundedLines(logging.Formatter):
    """A formatter that adds an error's type, text and place."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return shortened(super().formatMessage(record))

    def formatException(self, ei: Exception_) -> str:  # noqa: N802 - the library's name
        kind, error, frames = ei
        return "" if kind is None else f"{place(frames)}{shortened(f'{kind.__name__}: {error}')}"


def configure(level: int, form: str = logging.BASIC_FORMAT) -> None:
    """Send every log of this process to standard error as plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(BoundedLines(form))
    logging.basicConfig(level=level, handlers=[handler], force=True)
