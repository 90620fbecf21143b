"""The switches of an embedded installation are kept with it: every command of its folder mocks what its server does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from src.database.embedded import EmbeddedPostgres, binaries
from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES, SWITCHES
from tests.support.processes import ServerProcess, command, ecotrips, environment, free_port

MOCKED = "mocks: USE_FIXTURES, INVENTORY_OFFLINE, WA_OFFLINE, STRIPE_MOCK_MODE, OPS_REFUND_MODE\n"
PAID = MOCKED.replace("STRIPE_MOCK_MODE, ", "")
# Each of other terms, or it would be the payment before.
CHECKOUT = """
select start_checkout('11111111-1111-4111-8111-111111111111', 100 + (1000000 * random())::bigint, 'USD')
"""


def demo(folder: Path, **changes: str) -> AbstractContextManager[ServerProcess]:
    env = environment(DATA_DIR=str(folder / "data"), PORT=str(free_port()), **changes)
    return command(folder, "demo", ready="Try it in another terminal", env=env)


def told(folder: Path, *words: str, **changes: str) -> str:
    """What a command says in a shell that sourced nothing."""
    ran = ecotrips(folder, *words, DATA_DIR=str(folder / "data"), JWT_SECRET="", **changes)
    return ran.stderr + ran.stdout


def mode_of_a_checkout_in_psql(folder: Path) -> str:
    told(folder, "psql", "--service", "-Atc", CHECKOUT)
    return told(folder, "db", "psql", "-Atc", "select mode from payment.payments order by created_at desc limit 1")


@pytest.mark.heavy
def test_commands_of_a_shell_that_sourced_nothing_mock_what_the_server_mocks(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        assert MOCKED in told(tmp_path, "check")
        assert "all well" in told(tmp_path, "check")
        assert "no login may fill it" in told(tmp_path, "check")
        for other in ("postgres", "template1"):
            assert f'permission denied for database "{other}"' in told(tmp_path, "psql", "-c", f"\\c {other}")
        assert mode_of_a_checkout_in_psql(tmp_path) == "mock\n"
        assert "failed=0" in told(tmp_path, "worker", "--once")
        assert told(tmp_path, "ledger", "verify").startswith("0 faults")
        # What the shell says goes before it, and is told.
        live = told(tmp_path, "check", STRIPE_MOCK_MODE="0")
        assert live.startswith("ecotrips: STRIPE_MOCK_MODE=0 here, 1 in ")
        assert PAID in live
        assert MOCKED in told(tmp_path, "check", STRIPE_MOCK_MODE="")
        assert first.stop() == 0
    assert MOCKED in told(tmp_path, "check"), "without a server it is the same installation"


@pytest.mark.heavy
def test_the_newest_start_decides_for_commands_and_psql(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        with demo(tmp_path, STRIPE_MOCK_MODE="0") as second:
            assert "ecotrips: STRIPE_MOCK_MODE=0 here, 1 in " in second.text()
            assert PAID in told(tmp_path, "check")
            assert mode_of_a_checkout_in_psql(tmp_path) == "live\n"
            assert "export STRIPE_MOCK_MODE=1\n" in (tmp_path / "data" / "dev.env").read_text()
            (own,) = (tmp_path / "data").glob("dev-*.env")
            assert "export STRIPE_MOCK_MODE=0\n" in own.read_text()
            assert second.stop() == 0
        assert first.stop() == 0
    with demo(tmp_path) as third:
        assert "ecotrips: STRIPE_MOCK_MODE=1 here, 0 in " in third.text()
        assert MOCKED in told(tmp_path, "check")
        assert mode_of_a_checkout_in_psql(tmp_path) == "mock\n"
        assert third.stop() == 0


@pytest.mark.heavy
def test_a_server_without_demo_keeps_its_switches_too(tmp_path: Path) -> None:
    env = environment(DATA_DIR=str(tmp_path / "data"), PORT=str(free_port()), DATABASE_URL="", WA_OFFLINE="1")
    with command(tmp_path, "serve", ready="serving http", env=env) as service:
        assert "mocks: WA_OFFLINE\n" in told(tmp_path, "check")
        assert service.stop() == 0
    assert "WA_OFFLINE=1\n" in (tmp_path / "data" / "switches.env").read_text()
    told(tmp_path, "db", "reset", "--yes")
    assert "mocks: WA_OFFLINE\n" in told(tmp_path, "check")


async def test_a_database_of_ones_own_has_the_environment_alone(database: str, tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "switches.env").write_text("STRIPE_MOCK_MODE=1\n")
    assert "mocks: none\n" in ecotrips(tmp_path, "check", DATABASE_URL=database).stdout
    ran = ecotrips(tmp_path, "db", "apply", DATABASE_URL=database, WA_OFFLINE="1")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / ".data" / "switches.env").read_text() == "STRIPE_MOCK_MODE=1\n"


WHOLE = "".join(f"{name}={value}\n" for name, value in OFFLINE_SWITCHES.items())
UNSAID = "switches.env does not say {}, and unsaid they would be live, with real money: say each in the environment of"


@pytest.mark.parametrize(
    ("file", "missing"),
    [
        ("", SWITCHES),
        ("STRIPE_MOCK_MODE=1\nPATH=/nowhere\nno line\n", [name for name in SWITCHES if name != "STRIPE_MOCK_MODE"]),
        *((WHOLE.replace(f"{name}={value}\n", ""), [name]) for name, value in OFFLINE_SWITCHES.items()),
        *(
            (WHOLE.replace("STRIPE_MOCK_MODE=1\n", line), ["STRIPE_MOCK_MODE"])
            for line in (
                *("STRIPE_MOCK_MODE=\n", "STRIPE_MOCK_MODE=maybe\n", "STRIPE_MOCK_MODE=01\n", "stripe_mock_mode=1\n"),
                *(
                    "STRIPE_MOCK_MODE = 1\n",
                    "export STRIPE_MOCK_MODE=1\n",
                    "STRIPE_MOCK_MODE='1'\n",
                    "#STRIPE_MOCK_MODE=1\n",
                ),
                *("STRIPE_MOCK_MODE=1\nSTRIPE_MOCK_MODE=0\n", "STRIPE_MOCK_MODE=1 # ours\n"),
            )
        ),
    ],
)
def test_a_switch_that_the_file_does_not_say_is_not_taken_as_live(
    tmp_path: Path, file: str, missing: Sequence[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "switches.env").write_text(file)
    said = told(tmp_path, "db", "apply")
    assert UNSAID.format(", ".join(missing)) in said
    assert len(said.splitlines()) == 1
    assert f"{missing[0]} (not kept with the installation" in told(tmp_path, "settings", missing[0])
    assert not EmbeddedPostgres(tmp_path / "data", binaries()).data.exists()


@pytest.mark.heavy
def test_a_demo_of_an_older_release_is_not_taken_as_live(tmp_path: Path) -> None:
    """One whose folder has no file of switches yet: everything asks, and the answer is kept."""
    asked = UNSAID.format(", ".join(SWITCHES))
    (tmp_path / "data").mkdir()
    assert "files applied" in told(tmp_path, "db", "apply", **OFFLINE_SWITCHES)
    (tmp_path / "data" / "switches.env").unlink()
    for words in (
        ["db", "apply"],
        ["check"],
        ["worker", "--once"],
        ["psql", "-c", "select 1"],
        ["db", "seed"],
        ["serve"],
    ):
        assert asked in told(tmp_path, *words), words
    assert not (tmp_path / "data" / "switches.env").exists()
    assert UNSAID.format("STRIPE_MOCK_MODE") in told(
        tmp_path,
        "db",
        "apply",
        **{name: value for name, value in OFFLINE_SWITCHES.items() if name != "STRIPE_MOCK_MODE"},
    )
    assert "STRIPE_MOCK_MODE (not kept with the installation" in told(tmp_path, "settings", "STRIPE_MOCK_MODE")
    assert told(tmp_path, "db", "apply", **OFFLINE_SWITCHES) == "up to date\n"
    assert (tmp_path / "data" / "switches.env").read_text() == WHOLE
    assert MOCKED in told(tmp_path, "check")


def test_what_is_restored_works_under_the_switches_of_where_it_is_now(tmp_path: Path) -> None:
    kept = "select string_agg(name || '=' || value, ',' order by name) from ops.switch_defaults"
    dump, copy = str(tmp_path / "dump"), tmp_path / "copy"
    copy.mkdir()
    told(tmp_path, "db", "apply", **LIVE_SWITCHES)
    assert dump in told(tmp_path, "db", "backup", dump)
    assert UNSAID.format(", ".join(SWITCHES)) in told(copy, "db", "restore", dump)
    assert not (copy / "data" / "switches.env").exists()
    assert f"restored: {dump}" in told(copy, "db", "restore", dump, **OFFLINE_SWITCHES)
    assert (copy / "data" / "switches.env").read_text() == WHOLE
    expected = ",".join(sorted(WHOLE.split()))
    assert told(copy, "db", "psql", "-Atc", kept) == f"{expected}\n"
    assert mode_of_a_checkout_in_psql(copy) == "mock\n"


def test_nothing_is_said_of_a_new_installation_and_it_has_the_defaults(tmp_path: Path) -> None:
    told(tmp_path, "db", "start")
    assert "files applied" in told(tmp_path, "db", "apply")
    told(tmp_path, "db", "stop")
    assert "STRIPE_MOCK_MODE=0\n" in (tmp_path / "data" / "switches.env").read_text()


def test_a_check_makes_nothing(database: str, tmp_path: Path) -> None:
    said = told(tmp_path, "check")
    assert said.startswith(f"BAD  database       nothing is made in {tmp_path / 'data'} yet: make run")
    assert list(tmp_path.iterdir()) == []
    told(tmp_path, "db", "start")
    before = sorted((tmp_path / "data").iterdir())
    assert "nothing is made in" in told(tmp_path, "check")
    assert sorted((tmp_path / "data").iterdir()) == before
    told(tmp_path, "db", "stop")
    (tmp_path / "other").mkdir()
    own = {"DATABASE_URL": database, **OFFLINE_SWITCHES}
    for place in ({}, {"STORAGE_URL": f"file://{tmp_path}/other/files"}):
        found = ecotrips(tmp_path / "other", "check", **own, **place)
        assert "ok   storage" in found.stdout
        assert list((tmp_path / "other").iterdir()) == []
