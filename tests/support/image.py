"""Build the service's image and run compose.yaml with it: from nothing, restarted, taken down and up again.

By hand, with Docker Compose (2.24 or newer) as `docker-compose` or `docker compose`, and with a tar file of a Debian
that has python3-venv where no registry is in reach (debootstrap makes one; PostgreSQL is the installed one then, the
collector a fake): `python -m tests.support.engine python -m tests.support.image [ROOTFS.tar]`. It takes
minutes: the requirements are installed anew.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import httpx

from src.adapters.postgres.database import LOGIN_ROLES
from tests.support.engine import IMAGE as POSTGRES
from tests.support.postgres import JWT_SECRET
from tests.support.processes import ROOT, TIMEOUT, environment, free_port

SERVICE = "ecotrips-ops"
PROJECT = "ecotrips-try"  # not the folder's name: its volumes are removed
MAX_MEGABYTES = 450  # beside the base image
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
PORT = str(free_port())
ENVIRONMENT = environment(
    PORT=PORT,
    ECOTRIPS_MODE="offline",
    POSTGRES_PASSWORD=secrets.token_hex(16),
    DATABASE_ROLE_SECRET=secrets.token_hex(32),
    JWT_SECRET=JWT_SECRET,
)
ADDRESS = f"http://127.0.0.1:{PORT}"
WRITE = "import os; print(os.getuid(), flush=True); open('/app/written', 'w')"
REQUEST = {"park": "Volcanoes", "visit_date": "2030-06-01", "pax_count": 2}


def build(engine: docker.DockerClient, root_filesystem: Path | None) -> None:
    arguments = {}
    if root_filesystem is not None:
        stand_in(engine, root_filesystem.read_bytes())
        arguments = {"PYTHON_IMAGE": "python-local"}
    engine.images.build(path=str(ROOT), tag=SERVICE, buildargs=arguments, network_mode="host")
    image = engine.images.get(SERVICE)
    base = engine.images.get("python-local" if root_filesystem else "python:3.13-slim-bookworm")
    megabytes = (image.attrs["Size"] - base.attrs["Size"]) / 1e6
    print(f"image: {megabytes:.0f} MB beside its base")
    assert megabytes < MAX_MEGABYTES


def stand_in(engine: docker.DockerClient, root_filesystem: bytes) -> None:
    """Images of our own under the names of those that a registry would give."""
    certificates = "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt"
    engine.api.import_image_from_data(root_filesystem, repository="python-local", changes=[certificates])
    fake = ["python3", "-c", (ROOT / "tests/fakes/collector.py").read_text(), "4318"]
    engine.api.import_image_from_data(
        root_filesystem,
        repository="otel/opentelemetry-collector",
        tag="0.140.0",
        changes=[f"ENTRYPOINT {json.dumps(fake)}"],
    )
    engine.images.get(POSTGRES).tag("postgres", "18.6")


def compose(*arguments: str) -> str:
    """What `docker compose ARGUMENTS` prints; it must end well."""
    run = [*COMPOSE, "--project-name", PROJECT, *arguments]
    done = subprocess.run(run, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def try_out(engine: docker.DockerClient) -> None:
    compose("up", "--detach", "--wait")
    assert "files applied" in compose("logs", "apply")
    applied = state(engine, "apply")["FinishedAt"]
    assert applied < state(engine, "app")["StartedAt"]
    assert applied < state(engine, "worker")["StartedAt"]
    assert httpx.get(f"{ADDRESS}/healthz").json() == {"ok": True}
    until(lambda: "worker started" in compose("logs", "worker"))
    key = compose("exec", "-T", "app", "ecotrips", "token", "anon").strip()
    asked = httpx.post(f"{ADDRESS}/functions/v1/permits-request", json=REQUEST, headers={"apikey": key})
    assert asked.json()["status"] == "pending", asked.text
    until(lambda: sent("traces", "spans"))
    print("up: applied once, then healthy; it answers, and its spans arrive")

    confined(engine)
    compose("stop")
    for service in ("app", "worker"):
        assert state(engine, service)["ExitCode"] == 0, compose("logs", service)
    assert sent("metrics", "metrics")
    print("stopped: both with exit status 0, nothing written outside /data and /tmp, what was measured last is sent")

    compose("down")
    compose("up", "--detach", "--wait")
    assert "up to date" in compose("logs", "apply")
    assert requests() == "1"
    compose("restart")
    until(answers)
    assert requests() == "1"
    print("down and up again: up to date; the data is there, also after a restart")


def confined(engine: docker.DockerClient) -> None:
    """Nothing is written but to /data and /tmp, and PostgreSQL asks everybody for a password."""
    wrote = container(engine, "app").exec_run(["python", "-c", WRITE])
    assert b"10001\n" in wrote.output, wrote.output
    assert b"Read-only file system" in wrote.output, wrote.output
    for role in ("postgres", *LOGIN_ROLES.values()):
        refused = container(engine, "postgres").exec_run(f"psql -w -h postgres -U {role} -c 'select 1' ecotrips")
        assert b"no password supplied" in refused.output, refused.output


def container(engine: docker.DockerClient, service: str) -> Any:
    return engine.containers.get(f"{PROJECT}-{service}-1")


def state(engine: docker.DockerClient, service: str) -> dict[str, Any]:
    found: dict[str, Any] = container(engine, service).attrs["State"]
    return found


def sent(path: str, counted: str) -> bool:
    """Whether the collector says so: the fake its path, the real one how much."""
    logs = compose("logs", "collector")
    return f"/v1/{path}" in logs or f'"{counted}": ' in logs


def answers() -> bool:
    try:
        return httpx.get(f"{ADDRESS}/readyz").is_success
    except httpx.TransportError:
        return False


def requests() -> str:
    query = "select count(*) from permits.requests"
    return compose(
        "exec", "-T", "postgres", "psql", "-h", "/var/run/postgresql", "-U", "postgres", "-Atc", query, "ecotrips"
    ).strip()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


def main(arguments: list[str]) -> None:
    print(compose("version").strip())
    engine = docker.from_env()
    build(engine, Path(arguments[0]) if arguments else None)
    try:
        try_out(engine)
    finally:
        compose("down", "--volumes")


if __name__ == "__main__":
    main(sys.argv[1:])
