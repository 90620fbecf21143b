"""Behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.composition import compose
from src.domain.context import ANONYMOUS, Context
from src.domain.errors import NotAllowed
from tests.cluster import MEMORY, execute, server
from tests.conftest import SERVICE_CONTEXT
from tests.postgres import Server, make_template, settings
from tests.processes import free_port

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CONFIGURATION = """
[databases]
* = host={host} port=5432 pool_size=2
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
max_client_conn = 200
"""
USERS = ("web_anon", "web_authenticated", "web_service")


@contextmanager
def pgbouncer(host: Path) -> Iterator[int]:
    """Its port; two server connections for each role."""
    if not Path(PROGRAM).exists():
        assert not os.environ.get("CI"), "pgbouncer is not installed"
        pytest.skip("pgbouncer is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
        folder = Path(name)
        (folder / "users.txt").write_text("".join(f'"{user}" ""\n' for user in USERS))
        (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(host=host, port=port, folder=folder))
        unprivileged = ["-u", "nobody"] if os.getuid() == 0 else []
        for reached in (folder, host):
            reached.chmod(0o755)
        with subprocess.Popen([PROGRAM, "-q", *unprivileged, folder / "pgbouncer.ini"]) as process:
            try:
                yield port
            finally:
                process.terminate()


async def test_callers_share_two_connections_and_none_sees_anothers_settings() -> None:
    with server() as primary:
        name = make_template(Server(primary.url("postgres")))
        with pgbouncer(primary.socket_folder) as port:
            given = settings(
                f"postgresql://postgres@127.0.0.1:{port}/{name}",
                database_pooler="transaction",
                database_direct_url=primary.url(name),
                pool_size=8,
            )
            composed = compose(given)
            database = composed.database
            await composed.notifications.start()

            async def listed(number: int) -> bytes:
                context = Context(SERVICE_CONTEXT.caller, f"request-{number}")
                return await database.call(context, "ops.list_exceptions", p_status="open", p_page=1, p_page_size=1)

            async def refused() -> None:
                with pytest.raises(NotAllowed):
                    await database.call(
                        Context(ANONYMOUS, "anonymous"), "ops.list_exceptions", p_status=None, p_page=1, p_page_size=1
                    )

            try:
                async with asyncio.timeout(30):
                    while True:
                        try:
                            await listed(0)
                            break
                        except Exception:  # noqa: BLE001 - it is starting
                            await asyncio.sleep(0.05)
                refusals = asyncio.gather(*(refused() for _ in range(50)))
                answers = await asyncio.gather(*(listed(number) for number in range(300)))
                await refusals
                assert all(f'"request-{number}"'.encode() in answer for number, answer in enumerate(answers))
                assert (
                    await execute(
                        primary.url(name), "select count(*) from pg_stat_activity where usename = 'web_service'"
                    )
                    == 2 + 1
                ), "two of the pooler and the one that listens"
                async with asyncio.timeout(10):
                    await execute(primary.url(name), "select ops.set_flag('USE_FIXTURES', '0')")
                    while await composed.switches.value("USE_FIXTURES") != "0":
                        await asyncio.sleep(0.02)
            finally:
                await composed.close()
