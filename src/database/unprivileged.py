"""Runs PostgreSQL for root, because it refuses uid 0."""

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
REFUSED = 126  # exit status without the right to make a namespace
# How long a child waits for threads that libraries start after a fork, as a process with threads cannot enter a
# namespace.
THREADS_SECONDS = 5.0


class EmbeddedPostgresError(Exception):
    """The server cannot run; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Runs the server's programs without root's rights."""

    bin: Path
    namespaced: bool = False
    demoted: bool = False

    def prepare(self, parent: int | None) -> Callable[[], None]:
        """The preexec function: drops root and ends the child with `parent`, if given."""
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
        """Make the server's user the owner of a path."""
        if self.demoted:
            for path in paths:
                os.chown(path, NOBODY, NOBODY)


def unprivileged(folder_of_binaries: Path, folder: Path) -> ServerUser:
    """How this user runs the binaries on data in `folder`. Raises EmbeddedPostgresError when it cannot."""
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
    """Copy the installation below `target`; a wheel's libraries are in a folder beside the package."""
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
        # The user `nobody` may be unable to run this Python.
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
