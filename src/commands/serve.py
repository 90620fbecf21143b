"""`ecotrips serve` and `ecotrips demo`."""

from __future__ import annotations

import asyncio
import gc
import http.client
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.server.mp import MPServer

from src import orphans
from src.adapters.postgres.seed import seed_demo
from src.commands import local
from src.database import apply
from src.database.errors import FAILED
from src.database.opened import connect
from src.edge.listening import BACKLOG, HTTP1, BoundedListener, connections
from src.logins import service_dsn
from src.settings import OFFLINE_SWITCHES, Settings, port

if TYPE_CHECKING:
    from litestar import Litestar


class _Server(BoundedListener, MPServer):
    pass


class PortBusyError(OSError):
    """Another process listens on the port."""


class NotReadyError(OSError):
    """The database does not hold the SQL of this release."""


def serve(workers: int, host: str) -> None:
    """Serve on PORT until stopped; applies the SQL to an embedded database first."""
    require_free_port(host, port(os.environ))
    with local.database(os.environ) as settings:
        if settings.embedded:
            local.apply_sql(settings)
        asyncio.run(require_ready(settings))
        run(settings, workers, host, lambda: print(f"serving http://{host}:{settings.port}", flush=True))


def demo() -> None:
    """Everything offline on one machine: database, demo data, server, and a file of keys.

    Demo data goes into the embedded database alone, whichever one the shell names.
    """
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL", "DATABASE_REPLICA_URL"):
        os.environ.pop(name, None)
    for name, value in OFFLINE_SWITCHES.items():
        os.environ[name] = os.environ.get(name) or value
    require_free_port("127.0.0.1", port(os.environ))
    print(f"starting PostgreSQL in {local.postgres(os.environ).folder} ...", flush=True)
    with local.database(os.environ) as settings:
        print("applying the SQL and the demo's data ...", flush=True)
        local.apply_sql(settings)
        asyncio.run(seed_demo(settings.direct_url))
        print("starting the server and its worker ...", flush=True)
        with local.environment_file(settings) as (file, values), _worker():
            run(settings, 1, "127.0.0.1", lambda: print(_welcome(file, values), flush=True))


@contextmanager
def _worker() -> Iterator[None]:
    """A worker process beside the server, which ends with this process."""
    command = [sys.executable, "-m", "src.cli", "worker", "--parent", str(os.getpid())]
    with subprocess.Popen(command) as worker:  # noqa: S603 - the arguments are ours
        try:
            yield
        finally:
            worker.terminate()


async def require_ready(settings: Settings) -> None:
    """Raises NotReadyError when the database is away, holds other SQL, or belongs to another environment."""
    try:
        connection = await connect(service_dsn(settings), timeout=10)
    except asyncpg.InvalidAuthorizationSpecificationError:
        message = "the database refuses the service's login: run ecotrips db apply with this DATABASE_ROLE_SECRET"
        raise NotReadyError(message) from None
    except FAILED as error:
        message = f"the database does not answer: {error}"
        raise NotReadyError(message) from None
    try:
        if await connection.fetchval(apply.RELEASE_STATUS, apply.digest(apply.shipped())) == "differs":
            message = "the database holds other SQL than this release: run ecotrips db apply"
            raise NotReadyError(message)
        if fault := await local.environment_fault(connection, settings):
            raise NotReadyError(fault)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        message = "the database holds no SQL of ours: run ecotrips db apply"
        raise NotReadyError(message) from None
    finally:
        await connection.close()


def require_free_port(host: str, number: int) -> None:
    """Raises PortBusyError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            message = f"port {number} on {host} is not free ({error.strerror}); set PORT to another one"
            raise PortBusyError(message) from None


def application() -> Litestar:
    """The application of a server process, which ends with its parent."""
    orphans.stop_with(os.getppid())
    from src.app import create  # noqa: PLC0415 - only for who serves: the refusal to do so is there at once

    return create()


def server_of(target: str, host: str, port: int, workers: int) -> MPServer:
    """A server of the ASGI application that `target` (module:function) makes in each process."""
    return _Server(
        target,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops.uvloop,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections(),
        http1_settings=HTTP1,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=30,
    )


def run(settings: Settings, workers: int, host: str, announce: Callable[[], None]) -> None:
    server = server_of("src.commands.serve:application", host, settings.port, workers)
    # Server processes are forks, and share the memory of modules that were imported before.
    from src.app import authenticator_of  # noqa: PLC0415

    authenticator_of(settings)  # what is wrong with the keys is said once, here
    gc.collect()
    gc.freeze()
    # A fork inherits import locks that a thread holds, and would wait for them forever. So the thread starts after all
    # imports.
    arguments = (lambda: len(server.wrks) == server.workers, host, settings.port, announce)
    threading.Thread(target=_when_ready, args=arguments, daemon=True).start()
    server.serve()


def _when_ready(forked: Callable[[], bool], host: str, port: int, announce: Callable[[], None]) -> None:
    while not forked():
        time.sleep(0.02)
    for _ in range(600):
        # A plain connection, because proxies of the environment do not matter here.
        connection = http.client.HTTPConnection(host, port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == HTTPStatus.OK:
                announce()
                return
        except (http.client.HTTPException, OSError):
            time.sleep(0.05)
        finally:
            connection.close()


def _welcome(file: Path, values: dict[str, str]) -> str:
    return f"""
ecoTrips Ops is ready on {values["BASE_URL"]}   (docs: {values["BASE_URL"]}/docs, stop: Ctrl-C)

  SUPABASE_ANON_KEY          {values["SUPABASE_ANON_KEY"]}
  SUPABASE_SERVICE_ROLE_KEY  {values["SUPABASE_SERVICE_ROLE_KEY"]}

Try it in another terminal:

  source {shlex.quote(str(file))}
  curl -s -H "apikey: $SUPABASE_ANON_KEY" "$BASE_URL/functions/v1/ops-bookings?from=2025-10-01&to=2025-10-15"
"""
