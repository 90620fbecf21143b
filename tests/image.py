"""Build the service's image and try it as compose.yaml runs it: read-only, without root, passwords for all logins.

By hand, with a tar file of a Debian that has python3-venv where no registry is in reach (debootstrap makes one):
`python -m tests.engine python -m tests.image [ROOTFS.tar]`. It takes minutes: the requirements are installed anew.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from src.adapters.postgres.database import LOGIN_ROLES
from tests.engine import IMAGE as POSTGRES
from tests.postgres import JWT_SECRET
from tests.processes import PATIENCE, ROOT

SERVICE = "ecotrips-ops"
LARGEST_MEGABYTES = 450  # beside the base image
# What compose.yaml gives each of our containers.
CONFINED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108 - the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/readyz').read().decode())"
WRITE = "import os; print(os.getuid()); open('/app/written', 'w')"


def build(engine: docker.DockerClient, root_filesystem: Path | None) -> None:
    arguments = {}
    if root_filesystem is not None:
        changes = ["ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt"]
        engine.api.import_image_from_data(root_filesystem.read_bytes(), repository="python-local", changes=changes)
        arguments = {"PYTHON_IMAGE": "python-local"}
    engine.images.build(path=str(ROOT), tag=SERVICE, buildargs=arguments, network_mode="host")
    image = engine.images.get(SERVICE)
    base = engine.images.get("python-local" if root_filesystem else "python:3.13-slim-bookworm")
    megabytes = (image.attrs["Size"] - base.attrs["Size"]) / 1e6
    print(f"image: {megabytes:.0f} MB beside its base")
    assert megabytes < LARGEST_MEGABYTES


def run(engine: docker.DockerClient) -> None:
    password = secrets.token_hex(16)
    database = engine.containers.run(
        POSTGRES,
        detach=True,
        network_mode="none",
        environment={"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "ecotrips"},
    )
    ours: dict[str, Any] = {
        **CONFINED,
        # Without a network of the engine's: they share the loopback of the database.
        "network_mode": f"container:{database.id}",
        "environment": {
            "DATABASE_URL": f"postgresql://postgres:{password}@127.0.0.1:5432/ecotrips",
            "DATABASE_ROLE_SECRET": secrets.token_hex(32),
            "JWT_SECRET": JWT_SECRET,
        },
    }
    until(lambda: database.exec_run("pg_isready -h 127.0.0.1 -U postgres -d ecotrips").exit_code == 0)
    engine.containers.run(SERVICE, ["db", "apply"], **ours)
    for role in ("postgres", *LOGIN_ROLES.values()):
        refused = database.exec_run(f"psql -w -h 127.0.0.1 -U {role} -c 'select 1' ecotrips")
        assert b"no password supplied" in refused.output, refused.output
    app = engine.containers.run(SERVICE, detach=True, **ours)
    worker = engine.containers.run(SERVICE, ["worker"], detach=True, healthcheck={"test": ["NONE"]}, **ours)
    until(lambda: engine.api.inspect_container(app.id)["State"]["Health"]["Status"] == "healthy")
    until(lambda: b"worker started" in worker.logs())
    print("healthy:", app.exec_run(["python", "-c", ASK]).output.decode().strip())
    wrote = app.exec_run(["python", "-c", WRITE])
    assert b"10001\n" in wrote.output, wrote.output
    assert b"Read-only file system" in wrote.output, wrote.output
    for container in (app, worker):
        container.stop(timeout=30)
        state = engine.api.inspect_container(container.id)["State"]
        assert state["ExitCode"] == 0, (state, container.logs())
    print("stopped: both with exit status 0, nothing written outside /data and /tmp")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


def main(arguments: list[str]) -> None:
    engine = docker.from_env()
    build(engine, Path(arguments[0]) if arguments else None)
    try:
        run(engine)
    finally:
        for container in engine.containers.list(all=True):
            container.remove(force=True)


if __name__ == "__main__":
    main(sys.argv[1:])
