"""Dashboard and alert rules speak of metrics that exist."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml

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
