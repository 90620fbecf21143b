"""Dashboard and alert rules speak of metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.conftest import Api

DEPLOY = Path(__file__).parents[2] / "deploy"
METRIC = re.compile(r"\b(?:ecotrips|process)_[a-z0-9_]+")


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    return alerts + [target["expr"] for panel in panels for target in panel["targets"]]


async def test_every_metric_of_dashboard_and_alerts_is_served(api: Api) -> None:
    await api.get("ops-bookings")
    served = set(METRIC.findall((await api.http.get("/metrics")).text))
    # Levels without data yet are left out: the SQL that makes them names them.
    sql = (Path(__file__).parents[2] / "sql" / "functions" / "service_levels.sql").read_text()
    served |= {f"ecotrips_{name}" for name in re.findall(r"'([a-z0-9_]+)', \(", sql)}
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert asked - served == set()


async def test_every_route_of_dashboard_and_alerts_exists(api: Api) -> None:
    paths = set((await api.http.get("/schema")).json()["paths"])
    asked = {route for text in expressions() for route in re.findall(r'route="([^"]+)"', text)}
    assert asked
    assert asked <= paths
