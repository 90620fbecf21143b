"""One connection that sends statements before earlier answers have arrived (PostgreSQL's pipelining).

asyncpg opens the connection and hands it over. Values and answers are texts. Each statement is a transaction of its
own, so a failure affects no other one. The answer for a cancelled caller is dropped.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import islice
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from src.database.opened import Opened

# Types whose Python text PostgreSQL reads as it is.
KINDS = (str, int, date, UUID)
Row: TypeAlias = list[bytes | None]
# A row, or None when the statement has to be run elsewhere.
Answer: TypeAlias = asyncio.Future[Row | None]

# The server's messages begin with type and length (PostgreSQL's manual, "Message Formats").
PREPARED, DATA_ROW, ERROR, READY = b"1DEZ"
HEAD = 5
NULL = b"\xff\xff\xff\xff"
# Execute of the unnamed portal, all rows, and Sync.
EXECUTE_AND_SYNC = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
# The maximum number of prepared statements of a connection.
MAX_STATEMENTS = 256
# The schema has changed under a prepared statement, or preparing it failed.
UNPREPARED = frozenset({"0A000", "26000"})
# Seconds after which a slow answer no longer blocks the others.
TIMEOUT = 0.1
# Seconds after which the peer counts as gone; longer than any login's statement_timeout.
LOST = 60.0


class Waiting(NamedTuple):
    """A statement in flight; `since` is in the loop's seconds."""

    answer: Answer
    statement: str
    prepares: bool
    since: float


class Pipelined(asyncio.Protocol):
    """Takes over `connection`. `observe` gets the seconds that each statement took at the head of the queue."""

    def __init__(self, connection: Opened, observe: Callable[[str, float], None]) -> None:
        self._connection = connection
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._line: deque[Waiting] = deque()
        self._names: OrderedDict[str, bytes] = OrderedDict()
        self._prepared = 0
        self._received = bytearray()
        self._wanted = 0
        self._is_prepared = False
        self._row: Row | None = None
        self._error: dict[str, str] | None = None
        self._answered = 0.0
        self._watched: Waiting | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.stuck = False
        self.closed = False
        self._transport = connection.transport
        self._transport.set_protocol(self)

    @property
    def waiting(self) -> int:
        """Statements in flight."""
        return len(self._line)

    def send(self, statement: str, values: Sequence[object]) -> Answer | None:
        """A future that may raise asyncpg.PostgresError. None for values whose text differs from PostgreSQL's."""
        bound = _values(values)
        if bound is None:
            return None
        name = self._names.get(statement)
        prepares, head = name is None, b""
        if name is None:
            name, head = self._prepare(statement)
        bind = b"\0%b\0\0\0%b%b\0\0" % (name, len(values).to_bytes(2), bound)
        self._transport.write(b"%bB%b%b%b" % (head, (len(bind) + 4).to_bytes(4), bind, EXECUTE_AND_SYNC))
        answer: Answer = self._loop.create_future()
        self._line.append(Waiting(answer, statement, prepares, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(TIMEOUT, self._look)
        return answer

    def close(self) -> None:
        """Answers None to everything in flight."""
        self.closed = True
        self._transport.write(TERMINATE)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        received = self._received
        if received:
            received += data
            if len(received) < self._wanted:
                return
            data = bytes(received)
            received.clear()
        position, end = 0, len(data)
        after = HEAD
        while position + HEAD <= end:
            after = position + 1 + int.from_bytes(data[position + 1 : position + HEAD])
            if after > end:
                break
            kind = data[position]
            if kind == DATA_ROW:
                self._row = _fields(data, position + HEAD)
            elif kind == READY:
                self._next()
            elif kind == PREPARED:
                self._is_prepared = True
            elif kind == ERROR:
                self._error = _error(data[position + HEAD : after])
            position, after = after, after + HEAD
        if position < end:
            received += data[position:]
            self._wanted = after - position

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed = True
        _ask_elsewhere(self._line)
        self._line.clear()
        if self._watch is not None:
            self._watch.cancel()
        self._connection.terminate()

    def _prepare(self, statement: str) -> tuple[bytes, bytes]:
        """A statement's name with the messages that prepare it and close the oldest one."""
        messages = b""
        if len(self._names) == MAX_STATEMENTS:
            _, name = self._names.popitem(last=False)
            messages = b"C%bS%b\0" % ((len(name) + 6).to_bytes(4), name)
        self._prepared += 1
        name = self._names[statement] = b"p%d" % self._prepared
        text = statement.encode()
        return name, b"%bP%b%b\0%b\0\0\0" % (messages, (len(name) + len(text) + 8).to_bytes(4), name, text)

    def _next(self) -> None:
        """The server has finished the first statement of the queue."""
        answer, statement, prepares, since = self._line.popleft()
        row, error, began = self._row, self._error, max(since, self._answered)
        unprepared = error is not None and error["C"] in UNPREPARED
        if unprepared or (prepares and not self._is_prepared):
            self._names.pop(statement, None)
        self._is_prepared = False
        self._row = self._error = None
        self._answered = self._loop.time()
        self.stuck = False
        self._observe(statement, self._answered - began)
        if answer.done():
            return
        if error is None or unprepared:
            answer.set_result(row)
        else:
            answer.set_exception(asyncpg.PostgresError.new(error, statement))

    def _look(self) -> None:
        """Without an answer since the last look, statements behind the first are run elsewhere."""
        self._watch = None
        if self._line:
            first = self._line[0]
            if first is self._watched:
                self.stuck = True
                _ask_elsewhere(islice(self._line, 1, None))
            if self._loop.time() - first.since > LOST:
                self._transport.abort()
                return
            self._watched = first
            self._watch = self._loop.call_later(TIMEOUT, self._look)


def _ask_elsewhere(line: Iterable[Waiting]) -> None:
    for waiting in line:
        if not waiting.answer.done():
            waiting.answer.set_result(None)


def _values(values: Sequence[object]) -> bytes | None:
    parts = []
    for value in values:
        if value is None:
            parts.append(NULL)
        elif isinstance(value, KINDS):
            try:
                text = str(value).encode()
            except UnicodeEncodeError:
                return None
            parts.append(len(text).to_bytes(4))
            parts.append(text)
        else:
            return None
    return b"".join(parts)


def _fields(data: bytes, position: int) -> Row:
    fields: Row = []
    count = int.from_bytes(data[position : position + 2])
    position += 2
    for _ in range(count):
        start = position + 4
        length = data[position:start]
        if length == NULL:
            position = start
            fields.append(None)
        else:
            position = start + int.from_bytes(length)
            fields.append(data[start:position])
    return fields


def _error(message: bytes) -> dict[str, str]:
    """The error's fields by the letters of PostgreSQL's manual, "Error and Notice Message Fields"."""
    return {field[:1].decode(): field[1:].decode(errors="replace") for field in message.split(b"\0") if field}
