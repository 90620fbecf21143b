"""The disk with the database and the files is full: 503 with Retry-After, and all is done once when there is room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.database.embedded import EmbeddedPostgres, binaries, running
from tests.conftest import Api
from tests.support import postgres
from tests.support.cluster import start_again
from tests.support.disks import disk
from tests.support.processes import TIMEOUT, ecotrips, server
from tests.support.storms import DOCUMENTED, checkout, client, is_alive, require_sound, until_done

pytestmark = pytest.mark.heavy

FILE = "/storage/v1/object/travellers/scan-{}.bin"


@pytest.fixture
def small() -> Iterator[Path]:
    """A disk with room for a server and little more."""
    with disk("512m") as folder:
        yield folder


@pytest.mark.parametrize("kilobytes", [64, 1 << 10, 1 << 15, 40 << 10])
def test_a_first_start_on_a_full_disk_says_so(small: Path, tmp_path: Path, kilobytes: int) -> None:
    with (small / "others").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (512 << 20) - (kilobytes << 10))
    for _ in range(2):
        ran = ecotrips(tmp_path, "db", "apply", DATA_DIR=str(small / "data"), JWT_SECRET="")
        assert ran.returncode == 1
        assert "No space left on device" in ran.stderr.splitlines()[0]
        assert "Traceback" not in ran.stderr


def fill(small: Path) -> Path:
    """A file that leaves no room at all."""
    ballast = small / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast


async def test_a_full_disk_refuses_and_loses_nothing(small: Path, tmp_path: Path) -> None:
    count = 100
    with running(EmbeddedPostgres(small, binaries(os.environ.get("POSTGRES_BIN")))) as embedded:
        dsn = embedded.url(postgres.make_template(postgres.Server(embedded.url("postgres"))))
        with server(dsn, tmp_path, DATA_DIR=str(small / "files")) as service:
            async with client(service.address) as http:
                stored = await http.put(FILE.format(1), content=b"\1" * 5000, headers=Api.service)
                assert stored.status_code == 200
                ballast = fill(small)
                # What room the database has within its own files is used up first.
                seen, number = set[int](), 0
                async with asyncio.timeout(TIMEOUT):
                    while 503 not in seen:
                        seen.add(await checkout(http, number % count))
                        number += 1
                assert seen <= DOCUMENTED
                refused = await http.put(FILE.format(2), content=b"\2" * 100_000, headers=Api.service)
                assert refused.status_code == 503
                assert await is_alive(service.address)
                ballast.unlink()
                # PostgreSQL gives up when it cannot even write its log; whoever runs it starts it again.
                start_again(embedded)
                assert not (await until_done(http, range(count)))[0], "connections broke"
                again = await http.put(FILE.format(2), content=b"\2" * 100_000, headers=Api.service)
                assert again.status_code == 200
                first = await http.get(FILE.format(1), headers=Api.service)
                assert first.content == b"\1" * 5000
        await require_sound(dsn, count)
