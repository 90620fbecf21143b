"""Dashboard and alert rules speak of metrics that exist; what Compose starts is bounded and pinned."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import yaml

from src.database.embedded import LOG_SETTINGS
from src.edge.errors import SettingsError
from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES, from_environment
from tests.conftest import Api, serving
from tests.fakes.wire import Reply, Request, listening

DEPLOY = Path(__file__).parents[2] / "deploy"
METRIC = re.compile(r"\b(?:ecotrips|process)_[a-z0-9_]+")


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    return alerts + [target["expr"] for panel in panels for target in panel["targets"]]


def asked() -> set[str]:
    """The metrics asked for, but levels that have no data yet: those are left out, and the SQL names them."""
    sql = (Path(__file__).parents[2] / "sql" / "functions" / "service_levels.sql").read_text()
    without_data = {f"ecotrips_{name}" for name in re.findall(r"'([a-z0-9_]+_(?:ratio|seconds)[a-z_]*)', \(", sql)}
    return {name for expression in expressions() for name in METRIC.findall(expression)} - without_data


async def test_every_metric_of_dashboard_and_alerts_is_served(api: Api) -> None:
    await api.get("ops-bookings")
    served = set(METRIC.findall((await api.http.get("/metrics")).text))
    assert asked() - served == set()


async def test_every_metric_of_dashboard_and_alerts_is_exported(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: set[str] = set()
    everything = asyncio.Event()
    # Of a histogram the collector makes these itself.
    wanted = {re.sub("_(bucket|count|sum)$", "", name) for name in asked()}

    async def collect(request: Request) -> Reply:
        exported.update(METRIC.findall(request.body.decode("latin-1")))
        if wanted <= exported:
            everything.set()
        return Reply(200, {})

    async with listening(collect) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
        async with serving(database, traced=True) as api, asyncio.timeout(60):
            await api.get("ops-bookings")
            await everything.wait()


async def test_every_route_of_dashboard_and_alerts_exists(api: Api) -> None:
    paths = set((await api.http.get("/schema")).json()["paths"])
    routes = {route for text in expressions() for route in re.findall(r'route="([^"]+)"', text)}
    assert routes
    assert routes <= paths


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())["services"]
    return found


def test_every_container_is_bounded_and_gains_no_privileges() -> None:
    for name, service in services().items():
        assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"]), name
        assert 0 < service["pids_limit"] <= 512, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        # PostgreSQL's image begins as root, makes its folder its own and becomes another user.
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"] is True, name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_every_image_is_ours_or_one_release() -> None:
    for name, service in services().items():
        image = re.sub(r"\$\{\w+:-(.+)\}", r"\1", service["image"])
        assert image == "ecotrips-ops" or re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?([\w-]*)(@sha256:\w{64})?", image), (
            name
        )


def test_every_server_logs_nothing_of_statements() -> None:
    """The embedded one, Compose's, and what is said of others."""
    command = services()["postgres"]["command"]
    assert command == ["postgres", *(f"-c{name}={value}" for name, value in LOG_SETTINGS.items())]
    page = (DEPLOY.parent / "docs" / "security.md").read_text()
    told = page[page.index("is personal data unless") : page.index("Secrets are only ever given to it")]
    assert dict(re.findall(r"`(log_\w+)=(\S+)`", told)) == LOG_SETTINGS


MODES = {"offline", "production"}


def mode(word: str) -> dict[str, str]:
    """The environment that Compose gives our containers under ECOTRIPS_MODE, beside an .env that says the opposite."""
    compose = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())["x-service"]
    other = OFFLINE_SWITCHES if word == "production" else LIVE_SWITCHES
    secrets = {"JWT_SECRET": token_hex(32), "DATABASE_ROLE_SECRET": token_hex(32)}
    assert [file["path"] for file in compose["env_file"]] == [
        ".env",
        "deploy/${ECOTRIPS_MODE:?say offline or production}.env",
    ]
    lines = (DEPLOY / f"{word}.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    named = {name: str(value) for name, value in compose["environment"].items()}
    return {**other, **given, **named, **secrets}


def test_one_word_says_what_compose_starts() -> None:
    assert {file.stem for file in DEPLOY.glob("*.env")} == MODES
    assert from_environment(mode("offline")).switches == OFFLINE_SWITCHES
    with pytest.raises(SettingsError) as refused:
        from_environment(mode("production"))
    for name in ("STRIPE_SECRET_KEY", "HBX_API_KEY", "WA_ACCESS_TOKEN", "STRIPE_MOCK_MODE"):
        assert name in str(refused.value)
    # What the containers are given by name decides nothing of it.
    compose = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())["x-service"]
    assert not compose["environment"].keys() & {*OFFLINE_SWITCHES, "ECOTRIPS_ENV"}
