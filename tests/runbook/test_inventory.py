"""Runbook "Inventory triage": circuit, rate limits, fixtures."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from src.adapters.resilience import retry
from tests.conftest import serving
from tests.fakes.hbx.server import Behaviour, running
from tests.support.processes import TIMEOUT
from tests.support.suppliers import live_settings

SEARCH = {"city": "Kigali", "check_in": "2030-06-03", "check_out": "2030-06-06", "pax": {"adults": 2}}


async def test_triage_goes_from_rate_limits_over_an_open_circuit_to_fixtures(
    database: str, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0, 0.0, 0.0))

    def audit() -> str:
        return capfd.readouterr().out.splitlines()[-1]

    async with running() as fake, serving(database, **live_settings(fake)) as api:
        # Persistent rate limits: three retries, then RATE_LIMITED and a minute's wait.
        fake.behaviour = Behaviour("limited")
        limited = await api.post("inventory-search", SEARCH)
        assert (limited.status_code, limited.json()["code"]) == (429, "RATE_LIMITED")
        assert limited.headers["retry-after"] == "60"
        assert len(fake.calls) == 4
        # Circuit open: the log says so, old answers continue to be served.
        fake.behaviour = Behaviour()
        await api.post("inventory-search", SEARCH)
        assert "circuit=closed" in audit()
        await admin.execute("select force_circuit('hbx', 'open')")
        await admin.execute("update inventory.cache set expires_at = now()")
        async with serving(database, **live_settings(fake)) as other:
            stale = (await other.post("inventory-search", SEARCH)).json()
            assert (stale["source"], stale["circuit"]) == ("cache-stale", "open")
            assert "source=cache-stale circuit=open cache_hit=True stale=True" in audit()
        # Fixtures: the next request obeys, and the cache keeps filling.
        await admin.execute("select ops.set_flag('INVENTORY_OFFLINE', '1')")
        async with asyncio.timeout(TIMEOUT):  # until the notification is here
            while (await api.http.get("/readyz")).json()["switches"]["INVENTORY_OFFLINE"] != "1":
                await asyncio.sleep(0.01)
        fixtures = (await api.post("inventory-search", SEARCH)).json()
        assert fixtures["source"] == "fixtures"
        assert "source=fixtures" in audit()
        assert await admin.fetchval("select count(*) from inventory.cache where origin = 'fixtures'") == 1
