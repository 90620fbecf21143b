"""The embedded PostgreSQL: root or not, killed users and servers, many users at once, stale and half-made files."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from src.database import unprivileged
from src.database.embedded import MAX_LOG_SIZE, EmbeddedPostgres, binaries, running
from src.database.unprivileged import EmbeddedPostgresError
from tests.support.disks import disk
from tests.support.processes import (
    ROOT,
    descendants,
    environment,
    free_port,
    is_free,
    wait_for,
    wait_until_gone,
    wait_until_watched_no_more,
)

USER = """
import sys
from pathlib import Path
from src.database.embedded import EmbeddedPostgres, binaries, running
server = EmbeddedPostgres(Path(sys.argv[1]), binaries(sys.argv[2]), durable=False)
with running(server):
    print(server.running_pid(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ecotrips-embedded-") as name:
        yield Path(name)
        EmbeddedPostgres(Path(name), binaries()).stop()
        wait_until_watched_no_more(Path(name))


@pytest.fixture
def postgres(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, binaries(), durable=False)


def answer(postgres: EmbeddedPostgres, sql: str = "select 1") -> str:
    run = [str(postgres.bin / "psql"), postgres.url("postgres"), "-Atc", sql]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


class User:
    """Another process that uses the server until its standard input is closed."""

    def __init__(
        self, folder: Path, inside: list[str] | None = None, user: int | None = None, python: str = sys.executable
    ) -> None:
        self.process = subprocess.Popen(
            [*(inside or []), python, "-c", USER, str(folder), str(binaries())],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=user,
        )

    def server(self) -> int:
        """The server's pid, once it is ready."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def leave(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@contextmanager
def using(folder: Path, inside: list[str] | None = None) -> Iterator[User]:
    """One that is killed at the end; `inside` starts its command in another place."""
    user = User(folder, inside)
    try:
        yield user
    finally:
        user.kill()


def kill_server(pid: int) -> None:
    """The whole of it, as a power cut would."""
    its_own = list(descendants(pid))
    os.kill(pid, signal.SIGKILL)
    for process in its_own:
        # A backend whose client has gone, or which notices that its postmaster has, ends by itself.
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        wait_until_gone(pid)
    wait_until_gone(*its_own)


def test_it_starts_answers_and_stops(postgres: EmbeddedPostgres) -> None:
    assert postgres.start()
    assert not postgres.start()
    assert answer(postgres) == "1"
    assert postgres.stop()
    assert postgres.running_pid() is None
    assert not postgres.stop()


def test_the_last_user_stops_it_whoever_started_it(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as starter:
        pid = starter.server()
        with running(postgres):
            starter.leave()
            assert answer(postgres) == "1"
            with running(postgres):
                assert answer(postgres) == "1"
            assert postgres.running_pid() == pid
    assert postgres.running_pid() is None
    wait_until_watched_no_more(postgres.folder)


def test_who_comes_while_the_last_one_leaves_has_a_server_of_its_own(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = EmbeddedPostgres._stop_unless_kept  # noqa: SLF001 - the step that the other one comes before
    with ExitStack() as coming:
        came: list[User] = []

        def stop_later(leaving: EmbeddedPostgres) -> None:
            came.append(coming.enter_context(using(postgres.folder)))
            time.sleep(1)
            stop(leaving)

        with running(postgres):
            monkeypatch.setattr(EmbeddedPostgres, "_stop_unless_kept", stop_later)
        monkeypatch.undo()
        pid = came[0].server()
        assert postgres.running_pid() == pid
        assert answer(postgres) == "1"
        came[0].leave()


def test_it_outlives_a_killed_starter_whom_others_use_it_with(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as starter, using(postgres.folder) as other:
        pid = starter.server()
        assert other.server() == pid
        starter.kill()
        # The watcher looks every second.
        time.sleep(1.5)
        assert postgres.running_pid() == pid
        other.leave()
    assert postgres.running_pid() is None


def test_it_ends_with_its_last_user_killed_and_recovers(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as starter, using(postgres.folder) as other:
        pid = starter.server()
        other.server()
        answer(postgres, "create table kept as select 7 as value")
        starter.kill()
        other.kill()
    wait_until_gone(pid)
    with running(postgres):
        assert answer(postgres, "select value from kept") == "7"


def test_a_killed_watcher_is_replaced_by_the_next_user(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as starter:
        pid = starter.server()
        found = ["/usr/bin/pgrep", "-f", f"database.watcher {postgres.folder.resolve()}"]
        os.kill(int(subprocess.run(found, capture_output=True, check=True).stdout), signal.SIGKILL)
        wait_until_watched_no_more(postgres.folder)
        with using(postgres.folder) as other:
            other.server()
            starter.kill()
            other.kill()
        wait_until_gone(pid)


def test_started_to_stay_it_outlives_its_users_until_it_is_stopped(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as user:
        pid = user.server()
        assert not postgres.start()
        user.kill()
    # The watcher looks every second.
    time.sleep(1.5)
    with running(postgres):
        assert postgres.running_pid() == pid
    assert answer(postgres) == "1"
    # Only that very server stays: the one after a crash is its users' again.
    kill_server(pid)
    with running(postgres):
        assert answer(postgres) == "1"
    assert postgres.running_pid() is None


def test_a_server_that_somebody_else_started_is_used_and_left_alone(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        pass
    runner = unprivileged.unprivileged(postgres.bin, postgres.folder)
    by_hand = [str(runner.bin / "postgres"), "-D", str(postgres.data), "-k", str(postgres.folder), "-h", ""]
    with subprocess.Popen(
        by_hand,
        preexec_fn=runner.prepare(None),  # noqa: PLW1509 - no threads here
        stderr=subprocess.DEVNULL,
    ) as started:
        # From its first moment on: it may not have written that it is ready yet.
        wait_for(lambda: postgres.running_pid() == started.pid)
        with running(postgres):
            assert answer(postgres) == "1"
        assert postgres.running_pid() == started.pid
        assert postgres.stop()


@pytest.mark.parametrize("content", ["", "not a number", "{pid}", "{zombie}"])
def test_a_stale_pid_file_does_not_stop_a_start(postgres: EmbeddedPostgres, content: str) -> None:
    with running(postgres):
        pass
    zombie = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    first = content.format(pid=os.getpid(), zombie=zombie)
    stale = [first, postgres.data, 1, 5432, postgres.folder, "", "", "ready", ""]
    for file in (postgres.data / "postmaster.pid", postgres.folder / ".s.PGSQL.5432.lock"):
        file.write_text("\n".join(map(str, stale)) if content else "")
    assert postgres.running_pid() is None
    assert not postgres.stop()
    with running(postgres):
        assert answer(postgres) == "1"
    os.waitpid(zombie, 0)


def test_a_server_of_another_container_is_used_and_left_to_it(postgres: EmbeddedPostgres) -> None:
    container = ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*container, "/bin/true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("*** nothing was tested of two containers, because processes cannot be kept apart here")
    with using(postgres.folder, container) as starter:
        starter.server()
        assert postgres.running_pid() is None
        assert postgres.listening() is not None
        with running(postgres):
            assert answer(postgres) == "1"
        with pytest.raises(EmbeddedPostgresError, match="not seen from here"):
            postgres.stop(0.1)
        assert answer(postgres) == "1"
        began = time.monotonic()
        with running(postgres):
            starter.kill()
        assert time.monotonic() - began < 5
    wait_for(lambda: is_free(postgres.folder / "locks" / "server"))


DEPTHS = pytest.mark.parametrize("deep", ["", f"{'d' * 60}/{'e' * 60}"], ids=["short", "long"])


@contextmanager
def used_elsewhere(folder: Path, deep: str) -> Iterator[tuple[EmbeddedPostgres, User]]:
    """A server below `folder` that another process uses, with a table that names it."""
    server = EmbeddedPostgres(folder / "original" / deep, binaries(), durable=False)
    with using(server.folder) as user:
        user.server()
        answer(server, "create table named as select 'original' as name")
        answer(server, "checkpoint")
        try:
            yield server, user
        finally:
            user.kill()
            wait_until_watched_no_more(server.folder)


def copied(server: EmbeddedPostgres, target: Path, deep: str) -> EmbeddedPostgres:
    subprocess.run(["/bin/cp", "-a", server.folder, target / deep], check=True)
    return EmbeddedPostgres(target / deep, server.bin, durable=False)


@DEPTHS
def test_a_copy_of_a_folder_in_use_is_a_database_of_its_own(folder: Path, deep: str) -> None:
    with used_elsewhere(folder, deep) as (original, user):
        (folder / "copy" / deep).parent.mkdir(parents=True, exist_ok=True)
        copy = copied(original, folder / "copy", deep)
        assert copy.listening() is None
        assert copy.users() == []
        assert not copy.stop()
        # Exclusive, as `db reset` is: nobody uses the copy.
        with running(copy, exclusive=True):
            assert f"pid {user.process.pid}" not in str(copy.users())
            assert copy.running_pid() != original.running_pid()
            answer(copy, "update named set name = 'copy'")
            assert answer(copy, "select name from named") == "copy"
            assert answer(original, "select name from named") == "original"
            answer(copy, "drop table named")
        assert copy.running_pid() is None
        assert answer(original, "select name from named") == "original"


@DEPTHS
def test_a_folder_that_moves_keeps_its_server(folder: Path, deep: str) -> None:
    with used_elsewhere(folder, deep) as (original, _user):
        pid = original.running_pid()
        (folder / "moved" / deep).parent.mkdir(parents=True, exist_ok=True)
        moved = EmbeddedPostgres(original.folder.rename(folder / "moved" / deep), binaries(), durable=False)
        with running(moved):
            assert moved.running_pid() == pid
            assert answer(moved, "select name from named") == "original"
            # A new one in the old place is another one.
            with running(original):
                assert original.running_pid() not in {pid, None}
                assert answer(original, "select to_regclass('named') is null") == "t"
            assert answer(moved, "select name from named") == "original"
        moved.stop()
        assert moved.running_pid() is None


def test_a_server_whose_socket_is_gone_is_named_at_once(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as user:
        pid = user.server()
        (postgres.socket_folder / ".s.PGSQL.5432").unlink()
        with pytest.raises(EmbeddedPostgresError, match=rf"pid {pid}\) has no socket .*: run ecotrips db stop"):
            postgres.join()
        assert postgres.stop()
    with running(postgres):
        assert answer(postgres) == "1"


def test_a_backup_put_in_the_place_of_a_folder_in_use_is_served(folder: Path) -> None:
    with used_elsewhere(folder, "") as (original, _user):
        backup = copied(original, folder / "backup", "")
        answer(original, "update named set name = 'later'")
        old = original.running_pid()
        original.folder.rename(folder / "removed")
        backup.folder.rename(original.folder)
        with running(original):
            assert original.running_pid() not in {old, None}
            assert answer(original, "select name from named") == "original"
        EmbeddedPostgres(folder / "removed", binaries()).stop()


def test_a_link_to_a_folder_is_that_folder_and_one_inside_is_refused(folder: Path) -> None:
    with used_elsewhere(folder, "") as (original, user):
        link = folder / "link"
        link.symlink_to(original.folder)
        linked = EmbeddedPostgres(link, binaries(), durable=False)
        with running(linked):
            assert linked.running_pid() == original.running_pid()
            assert f"pid {user.process.pid}" in str(linked.users())
        (folder / "other").mkdir()
        other = EmbeddedPostgres(folder / "other", binaries(), durable=False)
        other.data.symlink_to(original.data)
        with pytest.raises(EmbeddedPostgresError, match="is a link, which a copy of its folder would share"):
            other.join(exclusive=True)


@DEPTHS
def test_a_copy_at_the_same_path_of_another_container_is_another_one(folder: Path, deep: str) -> None:
    container = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*container, "/bin/true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("*** nothing was tested of two containers, because processes cannot be kept apart here")
    with used_elsewhere(folder, deep) as (original, _user):
        (folder / "copy" / deep).parent.mkdir(parents=True, exist_ok=True)
        copy = copied(original, folder / "copy", deep)
        mounted = f'mount --bind {copy.folder} {original.folder} && exec "$0" "$@"'
        with using(original.folder, [*container, "/bin/sh", "-c", mounted]) as inside:
            inside.server()
            # Seen from here it is the copy's.
            assert copy.listening() is not None
            with running(copy):
                answer(copy, "update named set name = 'copy'")
            assert answer(original, "select name from named") == "original"
        wait_for(lambda: is_free(copy.folder / "locks" / "server"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root could write there")
@pytest.mark.parametrize("owner", [1234, unprivileged.NOBODY])
def test_root_leaves_the_folder_of_another_user_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: int
) -> None:
    # Where they are forbidden root's own server is nobody.
    monkeypatch.setattr(unprivileged, "_namespaces_allowed", lambda: True)
    os.chown(folder, owner, owner)
    for act in (EmbeddedPostgres.join, EmbeddedPostgres.start):
        with pytest.raises(
            EmbeddedPostgresError, match=rf"belongs to another user \(uid {owner}\): run this as that user"
        ):
            act(EmbeddedPostgres(folder, binaries()))
    assert not list(folder.iterdir())
    os.chown(folder, 0, 0)


def test_a_killed_server_starts_again_from_its_log(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder, binaries())
    with running(postgres):
        answer(postgres, "create table kept as select 7 as value")
        pid = postgres.running_pid()
        assert pid is not None
        kill_server(pid)
        with running(postgres):
            assert answer(postgres, "select value from kept") == "7"
        assert answer(postgres) == "1"


def test_a_start_waits_for_the_last_process_of_the_server_before(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as starter:
        pid = starter.server()
        survivor, *others = descendants(pid)
        os.kill(survivor, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            wait_until_gone(pid, *others)
            with using(postgres.folder) as second:
                time.sleep(1)
                assert second.process.poll() is None
                assert postgres.running_pid() is None
                os.kill(survivor, signal.SIGKILL)
                assert second.server() == postgres.running_pid()
                second.leave()
        finally:
            wait_until_gone(survivor)
        starter.leave()


def test_an_initialisation_that_was_killed_leaves_nothing(postgres: EmbeddedPostgres) -> None:
    with using(postgres.folder) as killed:
        wait_for(lambda: any(postgres.folder.glob("pg*.new-*/PG_VERSION")))
        killed.kill()
    assert not postgres.data.exists()
    with running(postgres):
        assert answer(postgres) == "1"
    assert not list(postgres.folder.glob("pg*.new-*"))


def test_folders_that_an_earlier_release_left_half_made_are_made_whole(postgres: EmbeddedPostgres) -> None:
    (postgres.data / "base" / "1").mkdir(parents=True)
    with running(postgres):
        assert answer(postgres) == "1"


def test_files_are_never_cleared_away(postgres: EmbeddedPostgres) -> None:
    table = postgres.data / "base" / "1" / "1259"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("somebody's rows")
    with pytest.raises(EmbeddedPostgresError, match="holds files but no cluster; move it away"):
        postgres.start()
    assert table.read_text() == "somebody's rows"


SECRET = "s3cr3t-that-nobody-else-may-read"
QUOTING = [
    f"select '{SECRET}'::uuid",
    f"select nosuch('{SECRET}')",
    f"do $$ begin raise exception '%', '{SECRET}'; end $$",
    f"create temp table t (a text primary key); insert into t values ('{SECRET}'), ('{SECRET}')",
    f"select $1::int \\bind {SECRET} \\g",
    f"select pg_sleep(3) /* {SECRET} */",
]


def test_the_log_tells_of_the_server_and_nothing_of_statements(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        for statement in QUOTING:
            run = [str(postgres.bin / "psql"), postgres.url("postgres"), "-c", "set statement_timeout = '1s'"]
            ended = subprocess.run([*run, "-f", "-"], input=statement, capture_output=True, text=True, check=False)
            assert "ERROR" in ended.stderr
        pid = postgres.running_pid()
        assert pid is not None
        kill_server(pid)
        with running(postgres):
            told = postgres.log.read_text()
    assert SECRET not in told
    assert "ERROR" not in told
    assert "automatic recovery in progress" in told
    assert postgres.log.stat().st_mode & 0o777 == 0o600


def test_the_log_of_an_earlier_release_is_closed_to_others(postgres: EmbeddedPostgres) -> None:
    postgres.folder.mkdir(exist_ok=True)
    postgres.log.write_text("")
    postgres.log.chmod(0o644)
    with running(postgres):
        assert postgres.log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "used"])
def test_the_log_has_an_end(postgres: EmbeddedPostgres, *, kept: bool) -> None:
    flood = "do $$ begin for n in 1..3 loop raise log '%', repeat('x', 5000000); end loop; end $$"
    with running(postgres):
        if kept:
            postgres.start()
        answer(postgres, flood)
        wait_for(lambda: postgres.log.stat().st_size < MAX_LOG_SIZE)
        assert answer(postgres) == "1"
        # Both the server and who reads its reasons go on with the cut file.
        answer(postgres, "do $$ begin raise log 'still here'; end $$")
        assert "still here" in postgres.log.read_text()
    earlier = postgres.folder / "postgres.log.1"
    assert earlier.stat().st_size > MAX_LOG_SIZE
    assert earlier.stat().st_mode & 0o777 == 0o600
    assert postgres.stop() == kept
    postgres.log.write_bytes(b"x" * (MAX_LOG_SIZE + 1))
    with running(postgres):
        assert postgres.log.stat().st_size < MAX_LOG_SIZE


def test_a_full_disk_is_named() -> None:
    with disk("16m") as folder:
        postgres = EmbeddedPostgres(folder, binaries())
        with pytest.raises(EmbeddedPostgresError, match=r"initdb failed: .*No space left on device"):
            postgres.start()
        assert not list(folder.glob("pg*"))


def test_a_server_that_does_not_start_says_why(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        pass
    with (postgres.data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = '1 parsec'\n")
    with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*(shared_buffers|configuration file)"):
        postgres.start()


def test_an_exclusive_user_is_alone(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        with pytest.raises(EmbeddedPostgresError, match=rf"is in use: end ecotrips.*\(pid {os.getpid()}\) first"):
            postgres.join(exclusive=True)
        assert answer(postgres) == "1"
    with ExitStack() as waiting:
        with running(postgres, exclusive=True):
            user = waiting.enter_context(using(postgres.folder))
            time.sleep(1)
            assert user.process.stdout is not None
            assert not select.select([user.process.stdout.fileno()], [], [], 0)[0], "it did not wait"
            pid = postgres.running_pid()
        assert user.server() == pid
        user.leave()
    assert postgres.running_pid() is None


def test_a_very_long_path_gets_a_short_socket_folder(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    postgres = EmbeddedPostgres(deep, binaries(), durable=False)
    with running(postgres):
        assert answer(postgres) == "1"
        assert len(str(postgres.socket_folder)) < 90


def test_a_path_is_as_long_as_its_bytes(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / ("é" * 40), binaries(), durable=False)
    with running(postgres):
        assert answer(postgres) == "1"


@pytest.mark.parametrize("change", ["mode", "link", "owner"])
def test_a_socket_folder_of_somebody_else_is_refused(folder: Path, change: str) -> None:
    postgres = EmbeddedPostgres(folder / ("d" * 60) / ("e" * 60), binaries(), durable=False)
    postgres.folder.mkdir(parents=True)
    place = postgres.socket_folder
    if change == "link":
        place.symlink_to(folder)
    else:
        place.mkdir()
        place.chmod(0o755 if change == "mode" else 0o700)
    if change == "owner":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder to somebody else")
        os.chown(place, 65534, 65534)
    try:
        with pytest.raises(EmbeddedPostgresError, match="is not a folder of yours alone"):
            postgres.start()
    finally:
        if change == "link":
            place.unlink()
        else:
            place.rmdir()


def test_a_file_system_without_locks_is_one_clear_line(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(
            EmbeddedPostgresError, match=r"cannot be locked: .*; set DATA_DIR to a folder of a local disk"
        ):
            postgres.join()
    assert not postgres.data.exists()


def test_tcp_is_opened_only_when_a_port_is_asked_for(folder: Path) -> None:
    port = free_port()
    with running(EmbeddedPostgres(folder, binaries(), durable=False, port=port)) as postgres:
        assert answer(postgres, "show listen_addresses") == "127.0.0.1"
        answer(postgres, "create role guest login password 'of the guest'")
        assert over_tcp(postgres, "guest", "of the guest").stdout == "guest\n"
        # Who asks for another one, or for none, uses the server as it runs.
        with running(EmbeddedPostgres(folder, binaries(), durable=False)) as other:
            assert answer(other) == "1"


def over_tcp(postgres: EmbeddedPostgres, user: str, password: str) -> subprocess.CompletedProcess[str]:
    run = [str(postgres.bin / "psql"), f"postgresql://{user}@127.0.0.1:{postgres.port}/postgres"]
    environ = {**os.environ, "PGPASSWORD": password}
    command = [*run, "-Atc", "select current_user"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


OPEN_RULES = "local all all trust\nhost all all 127.0.0.1/32 trust\n"


@pytest.mark.parametrize("earlier", ["new", "stopped", "running"])
def test_nobody_comes_over_tcp_without_a_password(folder: Path, earlier: str) -> None:
    postgres = EmbeddedPostgres(folder, binaries(), durable=False, port=free_port())
    rules = postgres.data / "pg_hba.conf"
    with ExitStack() as stack:
        if earlier != "new":  # a cluster of a release whose rules let everybody in
            stack.enter_context(running(postgres))
            rules.write_text(OPEN_RULES)
            answer(postgres, "select pg_reload_conf()")
            wait_for(lambda: over_tcp(postgres, "postgres", "a guess").returncode == 0)
        if earlier == "stopped":
            stack.close()
        with running(postgres):
            wait_for(lambda: over_tcp(postgres, "postgres", "a guess").returncode == 2)
            assert (
                'password authentication failed for user "postgres"' in over_tcp(postgres, "postgres", "a guess").stderr
            )
            assert answer(postgres, "select count(*) from pg_hba_file_rules where auth_method = 'trust'") == "2"
            assert rules.stat().st_mode & 0o777 == 0o600
            assert rules.stat().st_uid == postgres.data.stat().st_uid


@pytest.mark.parametrize("deep", [False, True], ids=["short", "long"])
def test_only_its_owner_reaches_the_socket(folder: Path, *, deep: bool) -> None:
    postgres = EmbeddedPostgres(folder / ("d" * 90 if deep else "data"), binaries(), durable=False)
    postgres.folder.mkdir()
    postgres.folder.chmod(0o755)
    with running(postgres):
        assert postgres.folder.stat().st_mode & 0o777 == 0o700
        assert postgres.socket_folder.stat().st_mode & 0o777 == 0o700
        assert (postgres.socket_folder / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
        postgres.folder.chmod(0o755)
        with running(postgres):
            assert postgres.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707, 0o1777])
def test_a_folder_that_holds_something_else_is_not_closed_for_it(folder: Path, mode: int) -> None:
    (folder / "something").touch()
    folder.chmod(mode)
    for act in (EmbeddedPostgres.join, EmbeddedPostgres.start):
        with pytest.raises(EmbeddedPostgresError, match=rf"others may enter .*\(mode {mode:o}\): .* run chmod 700 "):
            act(EmbeddedPostgres(folder, binaries()))
    assert [path.name for path in folder.iterdir()] == ["something"]
    assert folder.stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_an_installation_that_others_may_change_is_looked_at_first(postgres: EmbeddedPostgres, mode: int) -> None:
    with running(postgres):
        pass
    postgres.folder.chmod(mode)
    with pytest.raises(EmbeddedPostgresError, match=r"see that all in it is yours, then run chmod 700 "):
        postgres.join()
    postgres.folder.chmod(0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to become somebody else")
@pytest.mark.parametrize("reachable", [True, False])
def test_root_becomes_nobody_where_namespaces_are_forbidden(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, *, reachable: bool
) -> None:
    monkeypatch.setattr(unprivileged, "_namespaces_allowed", lambda: False)
    if not reachable:
        monkeypatch.setattr(unprivileged, "_nobody_can_run", lambda _program: False)
    postgres.folder.chmod(0o755)
    before = os.umask(0o077)  # as for every command
    with running(postgres):
        os.umask(before)
        pid = postgres.running_pid()
        assert pid is not None
        assert Path(f"/proc/{pid}").stat().st_uid == unprivileged.NOBODY
        assert answer(postgres, "select version() is not null") == "t"
        if not reachable:
            assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(postgres.folder)
    assert postgres.running_pid() is None
    os.chown(postgres.folder, 0, 0)
    os.chown(postgres.data, 0, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to become somebody else")
def test_threads_that_a_fork_starts_are_waited_for(folder: Path) -> None:
    hooked = True  # a hook cannot be taken away

    def start_thread() -> None:
        if hooked:
            threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start()

    os.register_at_fork(after_in_child=start_thread)
    try:
        with running(EmbeddedPostgres(folder, binaries(), durable=False)) as postgres:
            pid = postgres.running_pid()
            assert pid is not None
            assert Path(f"/proc/{pid}").stat().st_uid == os.getuid(), "it runs in a namespace, not as nobody"
    finally:
        hooked = False


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
    home.mkdir()
    os.chown(home, 65534, 65534)
    python = next((path for path in (sys.executable, "/usr/bin/python3") if runs_for_nobody(path)), None)
    if python is None:
        pytest.skip("no Python here that another user may run")
    for end in (User.leave, User.kill):
        user = User(home, user=65534, python=python)
        pid = user.server()
        assert Path(f"/proc/{pid}").stat().st_uid == 65534
        end(user)
        wait_until_gone(pid)
    os.chown(home, 1234, 1234)
    home.chmod(0o777)
    user = User(home, user=65534, python=python)
    user.process.communicate()
    assert user.process.returncode == 1
    os.chown(home, 65534, 65534)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot write to .*; set DATA_DIR to a folder you own"):
        EmbeddedPostgres(blocked / "data", binaries()).start()


def test_missing_binaries_are_one_clear_line(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="nowhere/postgres does not run: No such file or directory"):
        EmbeddedPostgres(folder, folder / "nowhere").start()
