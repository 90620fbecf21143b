"""Reads archives of pg_dump: the statements and rows that pg_restore makes of them, in their order."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from src.commands import clients, progress, stopping

ENTRY = re.compile(rb"-- (?:Data for )?Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n")
ROWS = re.compile(rb"COPY (.*) FROM stdin;\n")
NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s"(),.]+)')
END_OF_ROWS = b"\\.\n"
# How a text begins and ends whose lines are all part of it.
OPENING = re.compile(rb"--[^\n]*|/\*|(?<!\w)[eE]'|'|\"|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$")
ESCAPED = re.compile(rb"(?:\\.|[^'\\])*'", re.DOTALL)
CLOSING = {b"/*": re.compile(rb"\*/"), b"e'": ESCAPED, b"E'": ESCAPED}
# Commands of psql, not SQL.
FOR_PSQL = re.compile(rb"\\(?:un)?restrict \w+\n")


class ArchiveError(ValueError):
    """The file is no archive, or is incomplete."""


class Statements(NamedTuple):
    """The statements of one object; without a `kind`, settings before all objects."""

    name: str
    kind: str
    schema: str
    text: str


class ArchivedTable(NamedTuple):
    """A table's rows in the text format of COPY. Read them all before the next part."""

    schema: str
    name: str
    columns: list[str]
    rows: Iterator[bytes]


@contextmanager
def opened(archive: BinaryIO, *options: str) -> Iterator[Iterator[Statements | ArchivedTable]]:
    """The parts of an archive, without the names of owners.

    Raises ArchiveError, at the end of the block for an incomplete archive.
    """
    command = [str(clients.newest("pg_restore")), "--no-owner", "--file=-", *options]
    archive.seek(0)
    with subprocess.Popen(command, stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - ours
        assert process.stdout is not None  # noqa: S101 - for the types
        assert process.stderr is not None  # noqa: S101 - for the types
        try:
            # Reading lines awaits nothing, so a signal ends the program to end the wait.
            with stopping.ending(process.kill):
                yield parts(process.stdout)
                told = process.stderr.read().decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise ArchiveError(reason("pg_restore", told, process.returncode))


def read_so_far(archive: BinaryIO) -> str:
    """How many bytes of an open archive are read, and how many there are."""
    # pg_restore reads through this descriptor.
    read = os.lseek(archive.fileno(), 0, os.SEEK_CUR)
    return f"{progress.size(read)} of {progress.size(os.fstat(archive.fileno()).st_size)}"


def parts(script: Iterable[bytes]) -> Iterator[Statements | ArchivedTable]:
    """The parts of a script from pg_restore."""
    lines = iter(script)
    entry, text = ("", "", ""), list[bytes]()
    end: re.Pattern[bytes] | None = None
    for line in lines:
        inside, end = end, _end_of_text(line, end)
        if inside is not None:
            text.append(line)
        elif found := ROWS.fullmatch(line):
            yield Statements(*entry, b"".join(text).decode())
            (schema, name), columns = _names(found[1])
            yield ArchivedTable(schema, name, columns, _rows(lines))
            text = []
        elif found := ENTRY.fullmatch(line):
            # The comment around the name, so that nothing is left where there is no statement.
            yield Statements(*entry, b"".join(text[:-1]).decode())
            next(lines)
            name, kind, schema = (word.decode() for word in found.groups())
            entry, text = (name, kind, schema), []
        elif not FOR_PSQL.fullmatch(line):
            text.append(line)
    yield Statements(*entry, b"".join(text).decode())


def reason(program: str, told: str, status: int) -> str:
    """The line of a PostgreSQL program that says what is wrong; other lines may quote rows."""
    lines = [line for line in told.splitlines() if "error:" in line]
    return f"{program} failed: {lines[0] if lines else status}"


def _end_of_text(line: bytes, end: re.Pattern[bytes] | None) -> re.Pattern[bytes] | None:
    """What ends the text that is open after a line, if any."""
    at = 0
    while True:
        if end is None:
            found = OPENING.search(line, at)
            if found is None:
                return None
            if not found[0].startswith(b"--"):
                end = CLOSING.get(found[0]) or re.compile(re.escape(found[0]))
        else:
            found = end.match(line, at) if end is ESCAPED else end.search(line, at)
            if found is None:
                return end
            end = None
        at = found.end()


def _names(copied: bytes) -> tuple[tuple[str, str], list[str]]:
    schema, name, *columns = (quoted.replace('""', '"') or plain for quoted, plain in NAME.findall(copied.decode()))
    return (schema, name), columns


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line == END_OF_ROWS:
            return
        yield line
    message = "the archive ends within a table"
    raise ArchiveError(message)
