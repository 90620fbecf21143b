"""`make bench-hostile`: hostile requests on one server process, while somebody else asks it for /healthz every 10 ms.

Each request of bench/hostile_corpus.py is sent by anon and by a traveller, alone and eight at once. What counts: the
longest time that /healthz took, beyond what it takes on the idle machine; how far the server's memory grew, beyond the
bodies that were sent; the statuses; and what others would pay for: the database's time, the header of the answer, the
log. A miss that another program's load may have caused is measured again.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from bench.hostile_corpus import Hostile, corpus
from bench.proc import tree
from bench.stack import FOLDER, Service, Stack, stack
from src.commands.local import TRAVELLER
from tests.support.processes import free_port, server

ASK_EVERY = 0.01  # seconds
GAP = 0.1  # seconds beyond the idle machine's own
GROWTH = 64 * 1024 * 1024  # bytes
DATABASE = 1.0  # seconds of processor for one request
HEADER = 8 * 1024  # bytes, as clients and proxies take them
LOG = 16 * 1024  # bytes for one request
# Seconds after which nobody waits for an answer any more.
TIMEOUT = 20
# Memory is given back, and the database ends what it was asked for, a moment after the answer.
SETTLE = 0.02
IDLE = 2.0
TRIES = 3
# What no other program's load explains.
CERTAIN = 2.0
AT_ONCE = (1, 8)
NO_ANSWER = "none"


@dataclass(frozen=True, slots=True)
class Seen:
    """One case sent once. Times in seconds, sizes in bytes."""

    statuses: Counter[str]
    gap: float
    server: float
    database: float
    growth: int
    took: float
    header: int = 0
    log: int = 0

    def __str__(self) -> str:
        statuses = " ".join(status if number == 1 else f"{status}x{number}" for status, number in self.statuses.items())
        times = {"gap": self.gap, "took": self.took, "server": self.server, "database": self.database}
        shown = "  ".join(f"{name} {seconds * 1000:5.0f} ms" for name, seconds in times.items())
        return f"{statuses:9}  {shown}  memory {self.growth / 1e6:+6.1f} MB  log {self.log / 1e3:4.0f} kB"


class Prober:
    """A process of its own that asks for /healthz; `longest` says how long it took at most since it last said so."""

    def __init__(self, port: int) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_ask, args=(port, theirs), daemon=True)
        self._process.start()

    def longest(self) -> float:
        """In seconds; with the asking that is under way."""
        self._pipe.send(None)
        return float(self._pipe.recv())

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def _ask(port: int, pipe: Connection) -> None:
    longest = 0.0
    connection: socket.socket | None = None
    while True:
        began = time.monotonic()
        try:
            connection = connection or socket.create_connection(("127.0.0.1", port), timeout=300)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            if b" 200 " not in connection.recv(65536):
                connection = None
        except OSError:
            connection = None
        took = time.monotonic() - began
        longest = max(longest, took)
        if pipe.poll():
            pipe.recv()
            pipe.send(longest)
            longest = 0.0
        time.sleep(max(ASK_EVERY - took, 0) if connection else ASK_EVERY)


class Target:
    """The server under attack. It is started again after whatever hurt it, so that the next case finds it as it was."""

    def __init__(self, running: Stack) -> None:
        self.database = running
        self._life = ExitStack()
        self.start()

    def start(self) -> None:
        self._life.close()
        main = self.database.services["main"]
        self.port = free_port()
        process = self._life.enter_context(server(main.settings.database_url, FOLDER, PORT=str(self.port)))
        self.service = Service(process, main.settings)
        self.prober = Prober(self.port)
        self._life.callback(self.prober.stop)

    def stop(self) -> None:
        self._life.close()

    @property
    def worker(self) -> int:
        _, worker = tree(self.service.process.process.pid)
        return worker

    def send(self, request: Hostile, caller: Mapping[str, str], number: int) -> Seen:
        """The request `number` times at once, and what became of the server."""
        sent = request.sent(caller)
        worker = self.worker
        before = _memory(worker, "VmRSS")
        Path(f"/proc/{worker}/clear_refs").write_text("5")  # the highest so far is what it is now
        processors = self.service.processor_seconds(), self.database.database_seconds()
        logged = self.service.process.output.stat().st_size
        self.prober.longest()
        began = time.monotonic()
        with ThreadPoolExecutor(number) as pool:
            answers = list(pool.map(lambda _: _answer(self.port, sent), range(number)))
        took = time.monotonic() - began
        statuses = Counter(status for status, _ in answers)
        time.sleep(SETTLE)
        if took > TIMEOUT:
            self.start()
            return Seen(statuses, took, took, 0, 0, took)
        return Seen(
            statuses,
            self.prober.longest(),
            self.service.processor_seconds() - processors[0],
            self.database.database_seconds() - processors[1],
            _memory(worker, "VmHWM") - before,
            took,
            max(header for _, header in answers),
            (self.service.process.output.stat().st_size - logged) // number,
        )

    def idle(self, seconds: float) -> float:
        self.prober.longest()
        time.sleep(seconds)
        return self.prober.longest()


def _memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _answer(port: int, sent: bytes) -> tuple[str, int]:
    """Status and bytes of the header of the answer, read to its end; NO_ANSWER when none came."""
    head, found = b"", b""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        # The answer may come, and the connection end, before all is sent.
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        with contextlib.suppress(OSError):
            while part := connection.recv(1 << 20):
                if not head:
                    found += part
                    head = found.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in found else b""
    parts = head.split(b" ", 2)
    return (parts[1].decode("latin-1"), len(head)) if len(parts) == 3 else (NO_ANSWER, 0)


def missed(request: Hostile, seen: Seen, number: int, idle: float) -> list[str]:
    """What is not as it has to be; none when all is well."""
    found = []
    if seen.gap > idle + GAP:
        found.append("gap")
    if seen.growth > GROWTH + (len(request.body) * number if number > 1 else 0):
        found.append("memory")
    if seen.database > DATABASE * number:
        found.append("database")
    if seen.header > HEADER:
        found.append("header")
    if seen.log > LOG:
        found.append("log")
    if any(status.startswith("5") for status in seen.statuses):
        found.append("status")
    if NO_ANSWER in seen.statuses and not request.hung_up:
        found.append("no answer")
    return found


def least(
    target: Target, request: Hostile, caller: Mapping[str, str], number: int, idle: float
) -> tuple[Seen, list[str]]:
    """The best of three: what other programs do to the machine is no fault of the server."""
    seen = target.send(request, caller, number)
    faults = missed(request, seen, number, idle)
    for _ in range(TRIES - 1):
        if "memory" in faults or seen.gap > CERTAIN:
            target.start()  # memory that was given to a process once would hide the next growth
            target.idle(0.2)
        if not faults or "status" in faults or seen.gap > CERTAIN:
            break
        seen = target.send(request, caller, number)
        faults = missed(request, seen, number, idle)
    return seen, faults


@contextmanager
def attacked() -> Iterator[Target]:
    with stack() as running:
        target = Target(running)
        try:
            yield target
        finally:
            target.stop()


def documents(target: Target, caller: Mapping[str, str]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """What describes the functions, and what describes the procedures that the caller may use."""
    with httpx.Client(base_url=target.service.address, headers=dict(caller)) as http:
        return http.get("/schema").json(), http.get("/rest/v1/").json()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench-hostile", description=__doc__)
    arguments.add_argument("words", nargs="*", help="only requests whose name holds one of them")
    words = arguments.parse_args().words
    misses: list[str] = []
    sent = 0
    began = time.monotonic()
    with attacked() as target:
        callers = {"anon": target.database.key(), "traveller": target.database.user(TRAVELLER)}
        idle = target.idle(IDLE)
        print(f"idle: /healthz took up to {idle * 1000:.0f} ms", flush=True)
        for who, caller in callers.items():
            requests = corpus(*documents(target, caller))
            chosen = [one for one in requests if not words or any(word in one.name for word in words)]
            for request in chosen:
                for number in AT_ONCE:
                    seen, faults = least(target, request, caller, number, idle)
                    sent += number
                    text = f"{who:9} x{number}  {seen}  {request.name}"
                    print(text + (f"   MISSED: {', '.join(faults)}" if faults else ""), flush=True)
                    if faults:
                        misses.append(f"{', '.join(faults):16} {text}")
                idle = max(idle, target.idle(0.03))
    print(f"\n{sent:,} requests in {time.monotonic() - began:.0f} s; idle, /healthz took up to {idle * 1000:.0f} ms")
    print("\n".join([f"{len(misses)} missed", *misses]))
    raise SystemExit(1 if misses else 0)


if __name__ == "__main__":
    main()
