"""The switches of an embedded installation are kept with it: every command of its folder mocks what its server does."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from src.adapters.postgres.embedded import EmbeddedPostgres, binaries
from tests.processes import ServerProcess, command, ecotrips, environment, free_port

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


def test_commands_of_a_shell_that_sourced_nothing_mock_what_the_server_mocks(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        assert MOCKED in told(tmp_path, "check")
        assert "all well" in told(tmp_path, "check")
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


def test_a_file_of_switches_that_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "switches.env").write_text("STRIPE_MOCK_MODE=maybe\nPATH=/nowhere\nno line\n")
    assert told(tmp_path, "db", "apply") == "ecotrips: STRIPE_MOCK_MODE must be 0 or 1; what is set has 5 characters\n"
    assert not EmbeddedPostgres(tmp_path / "data", binaries()).data.exists()
