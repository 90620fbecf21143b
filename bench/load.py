"""Load on a running service or straight on its database, and what it did in one window of time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

from bench.stack import Stack

# Prints what wrk knows as one line of JSON; every script of a case stands before it.
DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"max":%f,"refused":%d,"lost":%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One window. Latencies in ms (0 for pgbench), processor time in microseconds a unit of work.

    `refused` are answers of 400 and more, `lost` those that never came.
    """

    rate: float
    server_us: float
    database_us: float
    p50: float = 0
    p99: float = 0
    refused: int = 0
    lost: int = 0


class Load(Protocol):
    """Something that keeps the stack busy."""

    def run(self, stack: Stack, seconds: float) -> Sample:
        """Busy for `seconds`."""


@dataclass(frozen=True, slots=True)
class Wrk:
    """HTTP over `connections` kept open.

    `script` is Lua for wrk (request, response); without it every request is equal.
    `units` is how many requests make one unit of work (a flow of three calls: 3).
    """

    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = 32
    method: str = "GET"
    body: str = ""
    script: str = ""
    units: int = 1
    service: str = "main"

    def run(self, stack: Stack, seconds: float) -> Sample:
        service = stack.services[self.service]
        options = [part for name, value in self.headers.items() for part in ("-H", f"{name}: {value}")]
        if self.body:
            options += ["-H", "content-type: application/json"]
        fixed = f"wrk.method = {json.dumps(self.method)}\nwrk.body = {json.dumps(self.body) if self.body else 'nil'}\n"
        command = [tool("wrk"), "-t1", f"-c{self.connections}", f"-d{seconds:g}s", "--timeout", "30s", *options]
        with NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(fixed + self.script + DONE)
            script.flush()
            server, database = service.processor_seconds(), stack.database_seconds()
            output = _output([*command, "-s", script.name, service.address + self.path])
            server, database = service.processor_seconds() - server, stack.database_seconds() - database
        found = json.loads(output.partition("RESULT ")[2])
        done = max(found["requests"], 1) / self.units
        return Sample(
            done / found["seconds"],
            server / done * 1e6,
            database / done * 1e6,
            found["p50"],
            found["p99"],
            found["refused"],
            found["lost"],
        )


@dataclass(frozen=True, slots=True)
class Pgbench:
    """The same SQL from pgbench's own client, as the login role `role`: the least that any server could do.

    `defines` become pgbench variables, which the prepared statements of `script` take as parameters (`:name`).
    `transactions` ends each client after so many instead of by time.
    """

    script: str
    defines: Mapping[str, str] = field(default_factory=dict)
    clients: int = 32
    role: str = "web_authenticated"
    service: str = "main"
    transactions: int | None = None

    def run(self, stack: Stack, seconds: float) -> Sample:
        service = stack.services[self.service]
        defines = [f"--define={name}={value}" for name, value in self.defines.items()]
        with NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(self.script)
            script.flush()
            before = stack.database_seconds()
            # pgbench counts whole seconds.
            length = f"-T{max(1, round(seconds))}" if self.transactions is None else f"-t{self.transactions}"
            command = [tool("pgbench", stack.postgres.bin), "-n", "-M", "prepared", "-j", "1", length]
            output = _output([*command, "-c", str(self.clients), "-f", script.name, *defines, service.dsn(self.role)])
            after = stack.database_seconds()
        rate = float(_found(r"tps = ([\d.]+)", output))
        failed = int(_found(r"number of failed transactions: (\d+)", output))
        done = int(_found(r"transactions actually processed: (\d+)", output))
        return Sample(rate, 0, (after - before) / max(done, 1) * 1e6, refused=failed)


def tool(name: str, beside: Path | None = None) -> str:
    """A program's path. Exits with one line that says how to get it."""
    folders = [beside, Path("/usr/lib/postgresql/15/bin"), Path(os.environ.get("POSTGRES_BIN", "/nowhere"))]
    for folder in folders:
        if folder is not None and (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        package = {"pgbench": "postgresql-contrib, or set POSTGRES_BIN"}.get(name, name)
        raise SystemExit(f"the bench needs {name}: apt-get install {package}")
    return found


def _output(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"no {pattern} in:\n{text}")
    return match.group(1)
