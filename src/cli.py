"""`ecotrips`: the command line. Each module of src/commands adds its commands."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import select
import signal
import sys
from contextlib import suppress

from asyncpg import (
    InvalidAuthorizationSpecificationError,
    InvalidCatalogNameError,
    InvalidPasswordError,
    PostgresConnectionError,
    PostgresError,
)

from src.commands import check, circuit, db, flags, ledger, privacy, processes, settings, tokens
from src.database.apply import ApplyError
from src.database.errors import BROKEN, FAILED, DatabaseUnavailable
from src.database.roles import LOGINS
from src.database.unprivileged import EmbeddedPostgresError
from src.domain.errors import DomainError, Unavailable
from src.edge import bounded
from src.edge.errors import SettingsError
from src.settings import is_production
from src.settings.libraries import reach_this_machine_directly

COMMANDS = (processes, check, settings, db, flags, circuit, ledger, privacy, tokens)

# Errors that the user can fix: one line and exit status 1.
MENDABLE = (EmbeddedPostgresError, ApplyError, SettingsError, *FAILED, ValueError, DomainError)
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = "run ecotrips db apply, which makes this login with the password of this DATABASE_ROLE_SECRET or JWT_SECRET"

# SQLSTATEs that a command meets before the first `db apply`, and the hint to give.
NOT_APPLIED: tuple[tuple[type[PostgresError], str], ...] = (
    (InvalidAuthorizationSpecificationError, "run ecotrips db apply first"),
    (InvalidCatalogNameError, "run ecotrips db apply, which makes it in DATA_DIR; on another server make it first"),
)


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    made = argparse.ArgumentParser(prog="ecotrips", description="The ecoTrips Ops service and its tools.")
    commands = made.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    return made


def main() -> None:
    commands = parser()
    arguments, others = commands.parse_known_args()
    arguments.others = others
    if others and not getattr(arguments, "passes_on", False):
        commands.error(f"unrecognized arguments: {' '.join(others)}")
    # Files that commands write (travellers' data, backups, exports) are readable by their owner only.
    os.umask(0o077)
    reach_this_machine_directly(os.environ)
    # Libraries log every request at INFO.
    bounded.configure(logging.WARNING, "%(levelname)s %(name)s %(message)s")
    status = _run(arguments)
    # The file store's library has threads that take the GIL after their answer was taken. A thread that does so while
    # the interpreter shuts down aborts the process, so the interpreter is not shut down.
    with suppress(BrokenPipeError):  # who reads may have gone
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: argparse.Namespace) -> int:
    try:
        if not getattr(arguments, "names_faults", False):
            is_production(os.environ)  # a command that reads no settings would not notice a word that says nothing
        return int(arguments.run(arguments) or 0)
    except MENDABLE as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 128 + signal.SIGPIPE
        print(f"ecotrips: {_told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _nobody_reads() -> bool:
    """Whether the reader of our output, such as `head`, has closed the pipe.

    That is no error, and is told apart from a broken connection to the database.
    """
    look = select.poll()
    look.register(1, 0)
    return any(event & select.POLLERR for _, event in look.poll(0))


def _told(error: BaseException) -> str:
    while isinstance(error, (Unavailable, DatabaseUnavailable)) and error.__cause__ is not None:
        error = error.__cause__
    for kind, cure in NOT_APPLIED:
        if isinstance(error, kind) and str(error).endswith("does not exist"):
            return f"{error}: {cure}"
    # A server that asks for passwords does not say which logins exist.
    if isinstance(error, InvalidPasswordError) and any(f'"{login}"' in str(error) for login in LOGINS):
        return f"{error}: {REFUSED}"
    # An OSError without a file name comes from a connection to the database.
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.strerror}: {error.filename or 'look at the disks of DATA_DIR and of temporary files'}"
    if isinstance(error, OSError):
        lost = error.errno is not None and error.filename is None
    else:
        lost = isinstance(error, (*BROKEN, PostgresConnectionError))
    return f"the database does not answer: {error}" if lost else str(error)


if __name__ == "__main__":
    main()
