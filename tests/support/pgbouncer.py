"""A real PgBouncer in transaction mode."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.database.unprivileged import ServerUser
from tests.support.cluster import MEMORY
from tests.support.processes import TIMEOUT, free_port
from tests.support.programs import program

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CONFIGURATION = """
[databases]
* = host={host} port=5432 pool_size={size}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
max_client_conn = 200
{prepares}
"""
# The first that knows clients' prepared statements in transaction mode.
PREPARING = (1, 21)
USERS = ("web_anon", "web_authenticated", "web_service")


def require_version() -> tuple[int, int]:
    """Of the PgBouncer here; the test is skipped where there is none, but fails in CI."""
    program(PROGRAM, "pgbouncer")
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    assert found is not None, said
    return int(found[1]), int(found[2])


@contextmanager
def pgbouncer(host: Path, size: int = 2, *, prepares: bool = False) -> Iterator[int]:
    """Its port; `size` server connections for each role to the PostgreSQL whose socket is in `host`."""
    require_version()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
        folder = Path(name)
        (folder / "users.txt").write_text("".join(f'"{user}" ""\n' for user in USERS))
        (folder / "pgbouncer.ini").write_text(
            CONFIGURATION.format(
                host=host, size=size, port=port, folder=folder, prepares="max_prepared_statements = 100" * prepares
            )
        )
        # It refuses root as PostgreSQL does, and has to reach a socket that is its owner's alone.
        sheds_root = ServerUser(Path(), namespaced=True).prepare(os.getpid()) if os.getuid() == 0 else None
        with subprocess.Popen(
            [PROGRAM, "-q", folder / "pgbouncer.ini"],
            preexec_fn=sheds_root,  # noqa: PLW1509 - no threads here
        ) as process:
            try:
                _wait_until_listening(port)
                yield port
            finally:
                process.terminate()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "pgbouncer does not start"
            time.sleep(0.01)
        else:
            return
