"""Many commands on one DATA_DIR: at the same moment, killed between any two steps, and one leaving before another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from src.database.embedded import EmbeddedPostgres, binaries
from tests.support.cluster import MEMORY
from tests.support.processes import (
    ROOT,
    TIMEOUT,
    ServerProcess,
    command,
    environment,
    free_port,
    is_free,
    wait_until_gone,
    wait_until_watched_no_more,
)

READY = "Try it in another terminal"
FRESH = ("db seed", "db apply", "db seed --volume 3", "token anon") * 2
# Ends by SIGKILL before its n-th step: whatever changes or locks a file, or starts or signals a process. What is done
# again at the same place, as in a loop that waits, is the same step.
KILLED_AT = """
import os, signal, sys
from src import cli
from src.adapters.postgres import seed
from src.commands import local
from src.database import embedded, locks, unprivileged

STEPS = {"fcntl.flock", "open", "os.chown", "os.kill", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
         "os.truncate", "shutil.rmtree", "subprocess.Popen", "tempfile.mkdtemp", "tempfile.mkstemp"}
left = int(sys.argv.pop(1))
seen = set()
us = os.getpid()
WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR

def step(event, arguments):
    global left
    if os.getpid() != us or event not in STEPS or event == "open" and not arguments[2] & WRITING:
        return
    frame, place = sys._getframe(1), []
    while frame:
        place.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    if (event, *place) not in seen:
        seen.add((event, *place))
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(step)
cli.main()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
        yield Path(name)
        EmbeddedPostgres(Path(name), binaries()).stop()
        wait_until_watched_no_more(Path(name))


def begun(folder: Path, words: str, *more: str, script: tuple[str, ...] = ("-m", "src.cli")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *script, *words.split(), *more],
        cwd=ROOT,
        env=environment(DATA_DIR=str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed."""
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, (process.args, said)
    return said


def told(folder: Path, words: str, *more: str) -> str:
    return ended(begun(folder, words, *more))


def asked(folder: Path, sql: str) -> list[str]:
    return told(folder, "db psql", "-qAtc", sql).split()


def at_once(folder: Path, commands: list[tuple[str, ...]]) -> list[str]:
    """What each printed; nobody uses the server afterwards, so none runs."""
    processes = [begun(folder, *words) for words in commands]
    said = [ended(process) for process in processes]
    assert is_free(folder / "locks" / "server")
    return said


def insert(value: str) -> tuple[str, ...]:
    return ("db psql", "-qc", f"insert into public.kept values ('{value}')")


def crash(folder: Path) -> None:
    """Kill a server and the command that started it while it has not written all to its files."""
    starter = begun(folder, "db psql", "-qAt")
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.write("insert into public.kept values ('crash') returning 1;\n")
    starter.stdin.flush()
    assert starter.stdout.readline() == "1\n"
    pid = EmbeddedPostgres(folder, binaries()).running_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    starter.kill()
    # Not communicate: its psql lives until it reads on.
    starter.wait()
    starter.stdin.close()
    starter.stdout.close()


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.heavy)])
def test_eight_at_once_all_work_and_the_server_goes(rounds: int) -> None:
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
            folder = Path(name)
            said = at_once(folder, [(words,) for words in FRESH])
            assert len({words for words, kind in zip(said, FRESH, strict=True) if kind == "token anon"}) == 1
            assert sum(int(words.split()[0]) for words in said if "demo rows added" in words) > 100
            assert asked(folder, "create table public.kept (value text); select count(*) from booking.itineraries") == [
                told(folder, "db psql", "-qAtc", "select count(*) from booking.itineraries").strip()
            ]
            at_once(folder, [insert(f"stopped {n}") for n in range(8)])
            crash(folder)
            at_once(folder, [insert(f"crashed {n}") for n in range(7)] + [("db seed",)])
            assert len(asked(folder, "select distinct replace(value, ' ', '-') from public.kept")) == 16, number
            wait_until_watched_no_more(folder)


def killed_at(folder: Path, step: int, words: str, *more: str) -> bool:
    """Whether it was killed: False when it had ended before that step."""
    process = begun(folder, words, *more, script=("-c", KILLED_AT, str(step)))
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode in {0, -signal.SIGKILL}, said
    return process.returncode != 0


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.heavy)])
def test_killed_at_any_step_on_a_fresh_folder_the_next_command_works(stride: int) -> None:
    for step in range(stride, 1000, stride):
        with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
            folder = Path(name)
            killed = killed_at(folder, step, "db seed")
            told(folder, "db seed")
            assert asked(folder, "select count(*) from catalog.search_index") != ["0"]
            assert not list(folder.glob("*new*"))
            wait_until_watched_no_more(folder)
            assert is_free(folder / "locks" / "server")
        if not killed:
            break
    assert step > 20


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("crashed", [False, True])
def test_killed_at_any_step_nothing_is_lost(folder: Path, stride: int, *, crashed: bool) -> None:
    told(folder, "db seed")
    asked(folder, "create table public.kept (value text)")
    for kept, step in enumerate(range(stride, 1000, stride), 1):
        if crashed:
            crash(folder)
        killed = killed_at(folder, step, *insert("killed"))
        told(folder, *insert("kept"))
        assert asked(folder, "select count(*) from public.kept where value = 'kept'") == [str(kept)]
        if not killed:
            break
    assert step > 10


@contextmanager
def shell(folder: Path) -> Iterator[Callable[[str], str]]:
    """A psql of the administrator that is left at the end; gives the first line of each answer."""
    process = begun(folder, "db psql", "-qAt")

    def ask(sql: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{sql};\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        yield ask
        ended(process)
    finally:
        process.kill()
        process.communicate()


def demo(folder: Path, output: Path, port: int) -> AbstractContextManager[ServerProcess]:
    return command(output, "demo", ready=READY, env=environment(DATA_DIR=str(folder), PORT=str(port)))


def is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200


def test_a_service_outlives_the_shell_that_started_its_server_and_the_other_way_round(
    folder: Path, tmp_path: Path
) -> None:
    told(folder, "db seed")
    port = free_port()
    with ExitStack() as life:
        with shell(folder) as first:
            assert first("select 1") == "1"
            service = life.enter_context(demo(folder, tmp_path, port))
        assert is_ready(port)
        with shell(folder) as second:
            assert second("select 2") == "2"
            assert service.stop() == 0
            assert second("select 3") == "3"
    assert is_free(folder / "locks" / "server")


def test_a_second_service_of_a_folder_leaves_the_firsts_file_alone(folder: Path, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    files = folder / "dev.env", folder / f"dev-{ports[1]}.env"
    with demo(folder, tmp_path, ports[0]) as first:
        written = files[0].read_text()
        with demo(folder, tmp_path, ports[1]) as second:
            assert f"source {files[0]}\n" in first.text()
            assert f"source {files[1]}\n" in second.text()
            assert files[0].read_text() == written
            for port, file in zip(ports, files, strict=True):
                assert file.stat().st_mode & 0o777 == 0o600
                assert f"export BASE_URL=http://127.0.0.1:{port}\n" in file.read_text()
            assert first.stop() == 0
            assert is_ready(ports[1])
            told(folder, "db seed")
            assert second.stop() == 0
    assert is_free(folder / "locks" / "server")
    with demo(folder, tmp_path, ports[1]) as alone:
        assert f"source {files[0]}\n" in alone.text()
        assert f"export BASE_URL=http://127.0.0.1:{ports[1]}\n" in files[0].read_text()


def test_killed_all_at_once_a_service_leaves_no_process(folder: Path, tmp_path: Path) -> None:
    with demo(folder, tmp_path, free_port()) as service:
        pid = EmbeddedPostgres(folder, binaries()).running_pid()
        assert pid is not None
        service.kill()
        wait_until_gone(pid)


def test_who_stops_the_server_of_others_is_told_and_a_reset_is_refused(folder: Path) -> None:
    told(folder, "db seed")
    with shell(folder) as ask:
        assert ask("select 1") == "1"
        reset = begun(folder, "db reset --yes")
        said, _ = reset.communicate(timeout=TIMEOUT)
        found = re.fullmatch(rf"ecotrips: {folder} is in use: end (ecotrips db psql \(pid \d+\)) first\n", said)
        assert found, said
        assert reset.returncode == 1
        assert ask("select count(*) > 0 from booking.itineraries") == "t"
        assert told(folder, "db stop") == f"stopped; it was in use by {found[1]}\n"
        assert told(folder, "db stop") == "not running\n"
        # Started again, by whomever, it serves those who were using it.
        told(folder, "db seed")
        assert EmbeddedPostgres(folder, binaries()).running_pid() is not None
    assert is_free(folder / "locks" / "server")
    assert "demo rows added" in told(folder, "db reset --yes")


def test_a_secret_that_a_killed_command_left_empty_is_made(folder: Path) -> None:
    (folder / "jwt_secret").touch()
    assert told(folder, "token anon").startswith("ey")
    assert len((folder / "jwt_secret").read_text()) == 64
