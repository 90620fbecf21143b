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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src import worker
from src.settings import OFFLINE_SWITCHES, Settings
from tests.postgres import JWT_SECRET

ROOT = Path(__file__).parents[1]
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
        return self.process.wait(timeout=20)

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


async def ended(*arguments: str, **settings: str) -> tuple[int, str]:
    """`ecotrips ARGUMENTS`, offline unless the settings say otherwise, to its end: exit status and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "src.cli", *arguments),
        cwd=ROOT,
        env=environment(**{**OFFLINE_SWITCHES, "JWT_SECRET": JWT_SECRET, **settings}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()


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
    async with asyncio.timeout(60):
        while (code := worker.exitcode) is None:
            await asyncio.sleep(0.01)
    return code


def _take_turn(settings: Settings) -> None:
    sys.exit(worker.main(settings, once=True))


def _wait_for(text: str, started: ServerProcess, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while text not in started.text():
        assert started.process.poll() is None, started.text()
        assert time.monotonic() < deadline, started.text()
        time.sleep(0.02)
