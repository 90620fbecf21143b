"""The public clients of PostgREST, unchanged: supabase-js and postgrest-js from npm, postgrest-py from PyPI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient

from tests.conftest import ANON_KEY, ITINERARY, OPS_USER, OTHER_TRAVELLER, SERVICE_KEY, TRAVELLER, token
from tests.http.rest.test_standalone import bearer, standalone
from tests.npm import installed
from tests.processes import server

CLIENTS = Path(__file__).with_name("clients")
LEAST_CALLS = 60


def test_javascript_clients(database: str, world_database: str, tmp_path: Path) -> None:
    folder = installed(CLIENTS / "package.json")
    with server(database, tmp_path) as ours, standalone(world_database, tmp_path) as foreign:
        suite = {
            "service": ours.address,
            "foreign": str(foreign.http.base_url).rstrip("/"),
            "anon": ANON_KEY,
            "key": SERVICE_KEY,
            "ops": token("authenticated", OPS_USER),
            "traveller": token("authenticated", TRAVELLER),
            "stranger": token("authenticated", OTHER_TRAVELLER),
            "keeper": bearer("keeper")["authorization"].removeprefix("Bearer "),
            "itinerary": ITINERARY,
        }
        done = subprocess.run(
            [str(shutil.which("node")), str(CLIENTS / "suite.mjs")],
            cwd=folder,
            env={**os.environ, "SUITE": json.dumps(suite)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == []
    assert result["calls"] >= LEAST_CALLS


def test_the_python_client(database: str, world_database: str, tmp_path: Path) -> None:
    with server(database, tmp_path) as ours, standalone(world_database, tmp_path) as foreign:
        _foreign_schema(str(foreign.http.base_url).rstrip("/"))
        _our_schema(f"{ours.address}/rest/v1")


def _data(query: Any) -> Any:
    """What a query answers: the client's own types allow any JSON, the assertions say which."""
    return query.execute().data


def _foreign_schema(address: str) -> None:
    with SyncPostgrestClient(address, schema="zoo") as zoo:
        animals = zoo.from_("animals")
        assert _data(animals.select("id").eq("id", 1)) == [{"id": 1}]
        assert _data(animals.select("id").like("name", "K%").order("id", desc=True).limit(2)) == [
            {"id": 3},
            {"id": 2},
        ]
        assert _data(animals.select("id").in_("name", ["Polly", "a,b"])) == [{"id": 4}]
        assert _data(animals.select("id").is_("weight", "null")) == [{"id": 6}]
        assert _data(animals.select("id").or_("id.eq.1,kind.eq.penguin").order("id")) == [{"id": 1}, {"id": 5}]
        assert animals.select("*", count=CountMethod.exact).range(0, 1).execute().count == 6
        assert _data(animals.select("id,houses(name)").eq("id", 4).single()) == {
            "id": 4,
            "houses": {"name": "Bird House"},
        }
        assert _data(zoo.from_("houses").select("id").contains("tags", ["big"]).order("id")) == [
            {"id": 1},
            {"id": 4},
        ]
        assert _data(zoo.rpc("add", {"a": "1", "b": "2"})) == 3
        with pytest.raises(APIError, match="PGRST116"):
            animals.select("id").eq("id", 44).single().execute()
    with SyncPostgrestClient(address, schema="zoo", headers=bearer("keeper")) as keeper:
        countries = keeper.from_("countries")
        assert _data(countries.insert({"id": 10, "name": "Togo"}))[0]["name"] == "Togo"
        assert _data(countries.upsert({"id": 10, "name": "Togo!"}))[0]["name"] == "Togo!"
        assert _data(countries.update({"name": "Togo"}).eq("id", 10))[0]["name"] == "Togo"
        assert len(_data(countries.delete().eq("id", 10))) == 1


def _our_schema(address: str) -> None:
    headers = {"apikey": ANON_KEY, "authorization": f"Bearer {token('authenticated', OPS_USER)}"}
    with SyncPostgrestClient(address, schema="booking", headers=headers) as staff:
        booked = _data(staff.from_("itineraries").select("id,items(itinerary_id)").eq("id", ITINERARY).single())
        assert booked["id"] == ITINERARY
        assert {item["itinerary_id"] for item in booked["items"]} == {ITINERARY}
        with pytest.raises(APIError, match="42501"):
            staff.from_("itineraries").update({"notes": "x"}).eq("id", ITINERARY).execute()
