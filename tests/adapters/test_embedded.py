"""The embedded PostgreSQL: root or not, crashed parents, stale files, second starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.adapters.postgres import unprivileged
from src.adapters.postgres.embedded import EmbeddedPostgres, binaries, running
from src.adapters.postgres.unprivileged import EmbeddedPostgresError
from tests.processes import ROOT, descendants, environment, free_port, wait_until_gone

STARTER = """
import sys, time
from pathlib import Path
from src.adapters.postgres.embedded import EmbeddedPostgres, binaries
server = EmbeddedPostgres(Path(sys.argv[1]), binaries(sys.argv[2]), durable=False)
print(server.start(detached=len(sys.argv) > 3), server.running_pid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ecotrips-embedded-") as name:
        yield Path(name)
        EmbeddedPostgres(Path(name), binaries()).stop()


@pytest.fixture
def postgres(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, binaries(), durable=False)


def answer(postgres: EmbeddedPostgres, sql: str = "select 1") -> str:
    run = [str(postgres.bin / "psql"), postgres.url("postgres"), "-Atc", sql]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def start_elsewhere(
    folder: Path, *arguments: str, user: int | None = None, python: str = sys.executable
) -> tuple[subprocess.Popen[str], int]:
    """Start the server from a process of its own; returns it and the server's pid."""
    process = subprocess.Popen(
        [python, "-c", STARTER, str(folder), str(binaries()), *arguments],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
    )
    assert process.stdout is not None
    started, pid = process.stdout.readline().split()
    assert started == "True"
    return process, int(pid)


def test_it_starts_answers_and_stops(postgres: EmbeddedPostgres) -> None:
    assert postgres.start()
    assert answer(postgres) == "1"
    assert postgres.stop()
    assert postgres.running_pid() is None
    assert not postgres.stop()


def test_a_second_start_attaches_and_does_not_own(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        with running(postgres):
            assert answer(postgres) == "1"
        assert answer(postgres) == "1"
    assert postgres.running_pid() is None


def test_it_dies_with_a_killed_parent_and_recovers(postgres: EmbeddedPostgres) -> None:
    parent, pid = start_elsewhere(postgres.folder)
    answer(postgres, "create table kept as select 7 as value")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert parent.stdout is not None
    parent.stdout.close()
    wait_until_gone(pid)
    with running(postgres):
        assert answer(postgres, "select value from kept") == "7"


def test_detached_it_outlives_its_parent(postgres: EmbeddedPostgres) -> None:
    parent, pid = start_elsewhere(postgres.folder, "detached")
    parent.kill()
    parent.wait()
    assert parent.stdout is not None
    parent.stdout.close()
    assert postgres.running_pid() == pid
    assert answer(postgres) == "1"


def test_a_stale_pid_file_that_names_another_program_is_removed(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        pass
    stale = [os.getpid(), postgres.data, 1, 5432, postgres.folder, "", "", "ready", ""]
    (postgres.data / "postmaster.pid").write_text("\n".join(map(str, stale)))
    assert postgres.running_pid() is None
    with running(postgres):
        assert answer(postgres) == "1"


def test_a_killed_server_starts_again_from_its_log(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder, binaries())
    postgres.start()
    answer(postgres, "create table kept as select 7 as value")
    pid = postgres.running_pid()
    assert pid is not None
    its_own = list(descendants(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until_gone(*its_own)
    with running(postgres):
        assert answer(postgres, "select value from kept") == "7"


def test_a_very_long_path_gets_a_short_socket_folder(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    postgres = EmbeddedPostgres(deep, binaries(), durable=False)
    with running(postgres):
        assert answer(postgres) == "1"
        assert len(str(postgres.socket_folder)) < 90


def test_tcp_is_opened_only_when_a_port_is_asked_for(folder: Path) -> None:
    port = free_port()
    with running(EmbeddedPostgres(folder, binaries(), durable=False, port=port)) as postgres:
        listening = answer(postgres, "show listen_addresses")
        assert listening == "127.0.0.1"
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        run = [str(postgres.bin / "psql"), url, "-Atc", "select 1"]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to become somebody else")
@pytest.mark.parametrize("reachable", [True, False])
def test_root_becomes_nobody_where_namespaces_are_forbidden(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, *, reachable: bool
) -> None:
    monkeypatch.setattr(unprivileged, "_namespaces_allowed", lambda: False)
    if not reachable:
        monkeypatch.setattr(unprivileged, "_nobody_can_run", lambda _program: False)
    postgres.folder.chmod(0o755)
    assert postgres.start()
    pid = postgres.running_pid()
    assert pid is not None
    assert Path(f"/proc/{pid}").stat().st_uid == unprivileged.NOBODY
    assert answer(postgres, "select version() is not null") == "t"
    if not reachable:
        assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(postgres.folder)


def runs_for_nobody(python: str) -> bool:
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], user=65534, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_it_works_for_an_ordinary_user(folder: Path) -> None:
    folder.chmod(0o777)
    home = folder / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    python = next((path for path in (sys.executable, "/usr/bin/python3") if runs_for_nobody(path)), None)
    if python is None:
        pytest.skip("no Python here that another user may run")
    parent, pid = start_elsewhere(home, user=65534, python=python)
    assert Path(f"/proc/{pid}").stat().st_uid == 65534
    parent.terminate()
    parent.wait()
    assert parent.stdout is not None
    parent.stdout.close()
    wait_until_gone(pid)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot write to .*; set DATA_DIR to a folder you own"):
        EmbeddedPostgres(blocked / "data", binaries()).start()


def test_missing_binaries_are_one_clear_line(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="nowhere/postgres does not run: No such file or directory"):
        EmbeddedPostgres(folder, folder / "nowhere").start()
