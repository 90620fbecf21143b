"""An installation becomes production's, serves as that, and is taken back by its administrator alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from src.settings import LIVE_SWITCHES
from tests.support import cluster
from tests.support.processes import command, ecotrips, environment, free_port
from tests.support.production import FIT


@pytest.fixture
def production() -> Iterator[dict[str, str]]:
    """The environment of a production installation with a server of its own, whose database is still empty."""
    # Not below pytest's own folder: production keeps no files where they are swept.
    with cluster.server() as postgres, TemporaryDirectory(prefix=".ecotrips-test-", dir=Path.home()) as files:
        psql: list[str | Path] = [postgres.bin / "psql", "-qc", "create database ecotrips", postgres.url("postgres")]
        subprocess.run(psql, check=True)
        yield FIT | {"DATABASE_URL": postgres.url("ecotrips"), "STORAGE_URL": Path(files).as_uri()}


@pytest.mark.heavy
def test_from_an_empty_database_to_one_that_is_taken_back(production: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str, **changes: str) -> tuple[int, str]:
        ran = ecotrips(tmp_path, *arguments, **production | changes)
        return ran.returncode, ran.stdout + ran.stderr

    assert "run ecotrips db apply" in run("serve")[1]
    # While it is set up it may be anything.
    assert run("db", "apply", ECOTRIPS_ENV="development")[0] == 0
    assert run("flags", "set", "STRIPE_MOCK_MODE=1", ECOTRIPS_ENV="")[0] == 0
    assert "does not know that it is production's: run ecotrips db apply in production" in run("serve")[1]
    assert run("db", "apply") == (0, "  STRIPE_MOCK_MODE: override removed\nup to date\n")

    env = environment(**production, PORT=str(free_port()))
    with command(tmp_path, "serve", ready="serving http", env=env) as served:
        page = httpx.get(f"{served.address}/docs")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert httpx.get(f"{served.address}/readyz").json()["switches"] == LIVE_SWITCHES
        assert httpx.get(f"{served.address}/metrics").status_code == 401
        turned = run("flags", "set", "STRIPE_MOCK_MODE=1")
        assert turned == (1, "ecotrips: This is a production database: nothing is mocked in it\n")
        assert run("flags", "set", "PAYOUTS_PAUSED=1")[0] == 0
        assert httpx.get(f"{served.address}/readyz").json()["switches"] == {**LIVE_SWITCHES, "PAYOUTS_PAUSED": "1"}

    for arguments in (("serve",), ("worker", "--once")):
        assert "this is a production database" in run(*arguments, ECOTRIPS_ENV="", STRIPE_MOCK_MODE="1")[1]
    assert run("db", "seed", "--demo")[0] == 1
    back = "select meta.set_environment('development')"
    assert run("psql", "--service", "-c", back)[0] == 1
    assert run("db", "psql", "-qc", back)[0] == 0
    assert "does not know that it is production's" in run("serve")[1]
    assert "does not know that it is production's" in run("worker", "--once")[1]
