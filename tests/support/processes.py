"""Real server processes for tests that kill them or need two."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.process
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src import worker
from src.database import locks
from src.settings import OFFLINE_SWITCHES, Settings
from tests.support.postgres import JWT_SECRET

ROOT = Path(__file__).parents[2]
# Seconds to wait for what usually takes a moment: a machine may be slow, and busy with other tests.
TIMEOUT = 120
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["src.worker", "stripe"])


@dataclass
class ServerProcess:
    """A running `ecotrips` process; `output` is everything it prints."""

    process: subprocess.Popen[bytes]
    address: str
    output: Path

    def kill(self) -> None:
        """As a power cut would: the whole process group, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(TIMEOUT)

    def text(self) -> str:
        return self.output.read_text()

    def audit_lines(self) -> list[str]:
        return [line for line in self.text().splitlines() if line.startswith("AUDIT ")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**changes: str) -> dict[str, str]:
    ours = re.compile("(PG|DATABASE_|JWT_|STRIPE_|WA_|HBX_)")
    kept = {name: value for name, value in os.environ.items() if not ours.match(name)}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def ecotrips(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """`ecotrips ARGUMENTS` in `folder` to its end; `changes` are of its environment."""
    env = environment(**{"JWT_SECRET": JWT_SECRET, **changes})
    run = [sys.executable, "-m", "src.cli", *arguments]
    return subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT)


@contextmanager
def command(folder: Path, *arguments: str, ready: str, env: Mapping[str, str]) -> Iterator[ServerProcess]:
    """`ecotrips ARGUMENTS` in `folder` once its output holds `ready`; killed at the end if it still runs."""
    output = folder / f"output-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "src.cli", *arguments],
            cwd=folder,
            env=dict(env),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = ServerProcess(process, "", output)
    try:
        _wait_for(ready, started)
        found = re.search(r"http://[\d.]+:\d+", started.text())
        started.address = found.group() if found else ""
        yield started
    finally:
        if process.poll() is None:
            started.kill()


@contextmanager
def server(dsn: str, folder: Path, *arguments: str, **changes: str) -> Iterator[ServerProcess]:
    """`ecotrips serve` on a database, offline unless `changes` of its environment say otherwise."""
    env = environment(
        **{**OFFLINE_SWITCHES, "DATABASE_URL": dsn, "JWT_SECRET": JWT_SECRET, "PORT": str(free_port()), **changes}
    )
    with command(folder, "serve", *arguments, ready="serving http", env=env) as started:
        yield started


def worker_turn(settings: Settings) -> multiprocessing.process.BaseProcess:
    """A process that takes one turn of everything as `ecotrips worker --once` does, begun.

    Forked from one that has loaded the code, because a test needs many.
    """
    process = FORKS.Process(target=_take_turn, args=(settings,))
    process.start()
    return process


async def exit_code(worker: multiprocessing.process.BaseProcess) -> int:
    """Once it has ended. Asked from this thread alone: starting a process asks about all others too, and an exit
    status can be read only once, so a second thread may find none.
    """
    async with asyncio.timeout(TIMEOUT):
        while (code := worker.exitcode) is None:
            await asyncio.sleep(0.01)
    return code


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have; none of one that has ended meanwhile."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield int(child)
        yield from descendants(int(child))


def wait_until_gone(*pids: int) -> None:
    """Until none of the processes runs any more."""
    deadline = time.monotonic() + TIMEOUT
    while alive := [pid for pid in pids if _lives(pid)]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in alive]
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _take_turn(settings: Settings) -> None:
    sys.exit(worker.main(settings, once=True))


def _wait_for(text: str, started: ServerProcess) -> None:
    deadline = time.monotonic() + TIMEOUT
    while text not in started.text():
        assert started.process.poll() is None, started.text()
        assert time.monotonic() < deadline, started.text()
        time.sleep(0.02)


def is_free(lock: Path) -> bool:
    """Whether no process holds it."""
    file = locks.attempt(lock)
    if file is not None:
        os.close(file)
    return file is not None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_watched_no_more(folder: Path) -> None:
    if (folder / "locks").exists():
        wait_for(lambda: is_free(folder / "locks" / "watcher"))


@contextmanager
def first_line(*arguments: str) -> Iterator[str]:
    """What a program of ours prints first; killed at the end."""
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()
