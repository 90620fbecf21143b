"""File locks, which end with the last process that holds the descriptor."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.database.unprivileged import EmbeddedPostgresError


def take(path: Path, operation: int = fcntl.LOCK_EX) -> int:
    """Wait for a lock and return its descriptor; child processes that inherit it hold the lock, too.

    Raises EmbeddedPostgresError on a file system without locks, OSError when the file cannot be opened.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, operation)
    except BaseException as error:
        os.close(file)
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            message = f"{path} cannot be locked: {error.strerror}; set DATA_DIR to a folder of a local disk"
            raise EmbeddedPostgresError(message) from None
        raise
    return file


def attempt(path: Path) -> int | None:
    """The descriptor of a lock, None when it is held."""
    try:
        return take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The lock for the block."""
    file = take(path)
    try:
        yield
    finally:
        os.close(file)
