"""The public clients of PostgREST, unchanged: supabase-js and postgrest-js from npm, postgrest-py from PyPI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from postgrest import APIError, CountMethod, ReturnMethod, SyncPostgrestClient

from tests.conftest import ANON_KEY, ITINERARY, OPS_USER, OTHER_TRAVELLER, SERVICE_KEY, TRAVELLER, token
from tests.support.npm import installed
from tests.support.processes import server
from tests.support.standalone import bearer, standalone

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
        calls = _foreign_schema(str(foreign.http.base_url).rstrip("/")) + _our_schema(f"{ours.address}/rest/v1")
    assert calls >= LEAST_CALLS


# A query of postgrest-py and its data, or the code of its refusal. The client's own types allow any JSON.
Calls = list[tuple[Any, object]]


class Refused(NamedTuple):
    """A refusal's code."""

    code: str | None


def _check(calls: Calls) -> int:
    for query, expected in calls:
        try:
            found = query.execute()
        except APIError as error:
            found = Refused(error.code)
        assert getattr(found, "data", found) == expected
    return len(calls)


def _ids(*numbers: int) -> list[dict[str, int]]:
    return [{"id": number} for number in numbers]


def _foreign_schema(address: str) -> int:
    with (
        SyncPostgrestClient(address, schema="zoo") as zoo,
        SyncPostgrestClient(address, schema="zoo", headers=bearer("keeper")) as keeper,
    ):
        return _check(_filters(zoo)) + _check(_shapes(zoo)) + _check(_functions(zoo)) + _check(_writes(keeper))


def _filters(zoo: SyncPostgrestClient) -> Calls:
    def animals() -> Any:
        return zoo.from_("animals").select("id").order("id")

    def houses() -> Any:
        return zoo.from_("houses").select("id").order("id")

    return [
        (animals().eq("id", 1), _ids(1)),
        (animals().neq("kind", "gorilla"), _ids(4, 5, 6)),
        (animals().gt("id", 4), _ids(5, 6)),
        (animals().gte("id", 2).lt("id", 4), _ids(2, 3)),
        (animals().lte("id", 2), _ids(1, 2)),
        (animals().like("name", "K%"), _ids(1, 2, 3)),
        (animals().ilike("name", "%KO"), _ids(1)),
        (animals().like_any_of("name", "Ko%,P%"), _ids(1, 4, 5)),
        (animals().like_all_of("name", "K%,%a"), _ids(3)),
        (animals().is_("weight", "null"), _ids(6)),
        (animals().not_.is_("weight", "null").gt("id", 3), _ids(4, 5)),
        (animals().in_("name", ["Polly", "a,b", 'c"d']), _ids(4)),
        (animals().or_("id.eq.1,and(kind.eq.penguin,mood.eq.hungry)"), _ids(1, 5)),
        (animals().match({"kind": "gorilla", "mood": "angry"}), _ids(3)),
        (animals().filter("name", "match", "^P"), _ids(4, 5)),
        (animals().plfts("search", "kittens running"), _ids(1)),
        (animals().eq("loud_name", "KOKO"), _ids(1)),
        (animals().eq("nothing", 1), Refused("42703")),
        (animals().eq("id", "x"), Refused("22P02")),
        (houses().contains("tags", ["big"]), _ids(1, 4)),
        (houses().contains("facts", {"area": 45}), _ids(2)),
        (houses().contained_by("tags", ["big", "loud"]), _ids(2, 3, 4)),
        (houses().overlaps("tags", ["loud", "warm"]), _ids(1, 2)),
        (houses().range_gt("open_hours", (0, 9)), _ids(2)),
        (houses().range_adjacent("open_hours", (17, 20)), _ids(1)),
        (houses().eq("facts->>area", "45"), _ids(2)),
        (zoo.from_("odd; name").select('":id"').eq(":id", 1), [{":id": 1}]),
    ]


def _shapes(zoo: SyncPostgrestClient) -> Calls:
    animals, houses = zoo.from_("animals"), zoo.from_("houses")
    return [
        (animals.select("id").order("weight", desc=True, nullsfirst=True).limit(2), _ids(6, 1)),
        (animals.select("id").order("id").range(1, 2), _ids(2, 3)),
        (animals.select("id").order("id").limit(1).offset(4), _ids(5)),
        (animals.select("id,houses(name)").eq("id", 4).single(), {"id": 4, "houses": {"name": "Bird House"}}),
        (animals.select("id").eq("id", 44).single(), Refused("PGRST116")),
        (zoo.from_("countries").select("id,name").eq("id", 1).csv(), "id,name\n1,Rwanda"),
        (animals.select("sex:mood::text").eq("id", 3), [{"sex": "angry"}]),
        (animals.select("id,...houses(house:name)").eq("id", 5), [{"id": 5, "house": "Cold House"}]),
        (animals.select("home(name)").eq("id", 4), [{"home": {"name": "Bird House"}}]),
        (houses.select("id,animals(id)").eq("id", 3), [{"id": 3, "animals": _ids(5)}]),
        (houses.select("id,animals!inner()").eq("animals.kind", "penguin"), _ids(3)),
        (
            houses.select("id,animals(id)")
            .eq("id", 1)
            .order("id", foreign_table="animals")
            .limit(1, foreign_table="animals"),
            [{"id": 1, "animals": _ids(1)}],
        ),
        (houses.select("deep:facts->pond->>deep").eq("id", 1), [{"deep": "true"}]),
        (zoo.from_("tours").select("houses(id)"), Refused("PGRST201")),
        (zoo.from_("tours").select("houses!tours_end(id)").eq("id", 1), [{"houses": {"id": 2}}]),
        (zoo.from_("keepers").select("id,animals!keeping(id)").eq("id", 3), [{"id": 3, "animals": _ids(5)}]),
        (
            zoo.from_("big_houses").select("title,countries(name)").eq("id", 1),
            [{"title": "Ape House", "countries": {"name": "Rwanda"}}],
        ),
        (zoo.from_("cages").select("size,cleanings(id)").eq("number", 2), [{"size": 30, "cleanings": _ids(2)}]),
        (zoo.from_("animal").select("id"), Refused("PGRST205")),
    ]


def _functions(zoo: Any) -> Calls:
    return [
        (zoo.rpc("add", {"a": "1", "b": "2"}), 3),
        (zoo.rpc("add", {"a": "1", "b": "2"}, get=True), 3),
        (zoo.rpc("animals_in", {"house": 1}).select("id").gt("id", 1).order("id"), _ids(2, 3)),
        (zoo.rpc("takes_array", {"v": ["a", "b,c"]}), ["a", "b,c"]),
        (zoo.rpc("numbers", {"upto": 3}), [1, 2, 3]),
        (zoo.rpc("add", {"a": 1}), Refused("PGRST202")),
    ]


def _writes(keeper: SyncPostgrestClient) -> Calls:
    countries = keeper.from_("countries")
    togo = {"id": 10, "name": "Togo", "Größe km²": None, "select": None}
    return [
        (countries.insert({"id": 10, "name": "Togo"}), [togo]),
        (
            countries.insert([{"id": 11, "name": "Mali"}, {"id": 12, "name": "Peru"}], returning=ReturnMethod.minimal),
            [],
        ),
        (countries.insert({"id": 10, "name": "Again"}), Refused("23505")),
        (countries.upsert({"id": 10, "name": "Togo!"}), [togo | {"name": "Togo!"}]),
        (countries.upsert({"id": 10, "name": "x"}, ignore_duplicates=True), []),
        (countries.update({"name": "Togo"}).eq("id", 10), [togo]),
        (countries.update({"name": "none"}).eq("id", 99), []),
        (countries.delete(returning=ReturnMethod.minimal).gt("id", 10), []),
        (countries.delete().eq("id", 10), [togo]),
        (keeper.from_("private_notes").select("secret"), [{"secret": "x"}]),
    ]


def _our_schema(address: str) -> int:
    headers = {"apikey": ANON_KEY, "authorization": f"Bearer {token('authenticated', OPS_USER)}"}
    with SyncPostgrestClient(address, schema="booking", headers=headers) as staff:
        itineraries = staff.from_("itineraries")
        counted = itineraries.select("id", count=CountMethod.exact).limit(1).execute().count
        assert counted is not None
        assert counted > 1
        booked = itineraries.select("id,items(itinerary_id)").eq("id", ITINERARY)
        return 1 + _check(
            [
                (itineraries.select("id").eq("id", ITINERARY).single(), {"id": ITINERARY}),
                (booked.limit(1, foreign_table="items"), [{"id": ITINERARY, "items": [{"itinerary_id": ITINERARY}]}]),
                (staff.from_("booking.itineraries").select("id").eq("id", ITINERARY), [{"id": ITINERARY}]),
                (itineraries.update({"notes": "x"}).eq("id", ITINERARY), Refused("42501")),
                (itineraries.delete().eq("id", ITINERARY), Refused("42501")),
            ]
        )
