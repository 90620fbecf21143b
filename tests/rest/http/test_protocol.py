"""The protocol around rows: paths, methods, preferences, profiles, errors, OPTIONS, OpenAPI, reloading."""

from __future__ import annotations

import json

import asyncpg
import pytest

from src.rest.catalog.model import Name
from tests.rest.http.conftest import World, serving_world


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/a/b", 404, "PGRST125"),
        ("GET", "/rpc/a/b", 404, "PGRST125"),
        ("GET", "/animals/", 404, "PGRST125"),
        ("GET", "/rpc/add/", 404, "PGRST125"),
        ("GET", "/rpc/", 404, "PGRST202"),
        ("GET", "/nowhere", 404, "PGRST205"),
        ("PATCH", "/rpc/add", 405, "PGRST101"),
        ("BREW", "/animals", 405, "PGRST117"),
        ("POST", "/", 405, "PGRST117"),
        ("GET", "/animals?select=id::nosuchtype", 400, "42704"),
        ("GET", "/animals?nope=eq.1", 400, "42703"),
        ("GET", "/animals?order=nope", 400, "42703"),
        ("GET", "/animals?id=eq.x", 400, "22P02"),
        ("GET", "/animals?id=like.x", 404, "42883"),
        ("GET", "/events_2023", 404, "PGRST205"),
    ],
)
async def test_refusals_have_their_code(zoo: World, method: str, path: str, status: int, code: str) -> None:
    answer = await zoo.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    ("path", "message", "details"),
    [
        (
            "/animals?id=wrong.x",
            '"failed to parse filter (wrong.x)" (line 1, column 1)',
            'unexpected "w" expecting "not" or operator (eq, gt, ...)',
        ),
        (
            "/animals?select=id,houses(name[])",
            '"failed to parse select parameter (id,houses(name[]))" (line 1, column 15)',
            'unexpected \'[\' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input',
        ),
        (
            "/animals?order=id.ac",
            '"failed to parse order (id.ac)" (line 1, column 4)',
            'unexpected "c" expecting "asc", "desc", "nullsfirst" or "nullslast"',
        ),
        (
            "/animals?or=()",
            '"failed to parse logic tree (())" (line 1, column 4)',
            (
                'unexpected ")" expecting field name (* or [a..z0..9_$]), negation operator (not) '
                "or logic operator (and, or)"
            ),
        ),
        (
            "/animals?weight=is.nil",
            '"failed to parse filter (is.nil)" (line 1, column 5)',
            'unexpected "i" expecting isVal: (null, not_null, true, false, unknown)',
        ),
    ],
)
async def test_what_does_not_parse_is_shown(zoo: World, path: str, message: str, details: str) -> None:
    answer = await zoo.get(path)
    assert answer.status_code == 400
    assert answer.json() == {"code": "PGRST100", "details": details, "hint": None, "message": message}


async def test_hints_name_what_is_near(zoo: World) -> None:
    assert (await zoo.get("/anmals")).json()["hint"] == "Perhaps you meant the table 'zoo.animals'"
    column = (await zoo.get("/animals?select=nam")).json()
    assert column["hint"] == 'Perhaps you meant to reference the column "animals.name".'
    assert column["message"] == "column animals.nam does not exist"


async def test_unknown_names_never_reach_the_database(world: World, world_database: str) -> None:
    """With the database gone the same refusals are still given."""
    paths = ["/nowhere", "/animals?select=nope", "/animals?select=id,nope(id)", "/rpc/nope", "/animals?select=id::nope"]
    known = [(await world.get(path)).json() for path in paths]
    admin = await asyncpg.connect(world_database)
    await admin.execute("alter role gate nologin")
    await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gate'")
    try:
        assert [(await world.get(path)).json() for path in paths] == known
        assert (await world.get("/animals")).status_code in (403, 503)
    finally:
        await admin.execute("alter role gate login")
        await admin.close()


async def test_strict_handling_refuses_what_it_does_not_know(zoo: World) -> None:
    strict = await zoo.get("/animals", prefer="handling=strict, foo=bar, count=exact")
    assert (strict.status_code, strict.json()["details"]) == (400, "Invalid preferences: foo=bar")
    lenient = await zoo.get("/animals?limit=1", prefer="foo=bar, handling=lenient")
    assert lenient.headers["preference-applied"] == "handling=lenient"


async def test_a_timezone_is_kept_for_the_request(zoo: World) -> None:
    answer = await zoo.get("/animals?select=born&id=eq.1", prefer="timezone=America/Lima")
    assert answer.json() == [{"born": "2000-05-01T05:00:00-05:00"}]
    assert answer.headers["preference-applied"] == "timezone=America/Lima"
    assert (await zoo.get("/animals", prefer="timezone=Nowhere/Else")).json()["code"] == "22023"


async def test_a_profile_chooses_the_schema(world_database: str) -> None:
    admin = await asyncpg.connect(world_database)
    await admin.execute("create table aside.animals (id int); grant all on aside.animals to visitor;")
    await admin.close()
    async with serving_world(world_database, schemas=("zoo", "aside")) as world:
        default = await world.get("/animals?select=id&id=eq.1")
        assert default.headers["content-profile"] == "zoo"
        chosen = await world.get("/animals", accept_profile="aside")
        assert (chosen.json(), chosen.headers["content-profile"]) == ([], "aside")
        written = await world.request("POST", "/animals", {"id": 1}, content_profile="aside")
        assert written.status_code == 201
        refused = await world.get("/animals", accept_profile="hidden")
        assert refused.status_code == 406
        assert refused.json()["hint"] == "Only the following schemas are exposed: zoo, aside"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/animals", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"),
        ("/no_key", "OPTIONS,GET,HEAD,POST,PATCH,DELETE"),
        ("/kinds", "OPTIONS,GET,HEAD"),
        ("/joined", "OPTIONS,GET,HEAD"),
        ("/rpc/add?a=1&b=2", "OPTIONS,GET,HEAD,POST"),
        ("/rpc/visit?name=x", "OPTIONS,POST"),
        ("/", "OPTIONS,GET,HEAD"),
    ],
)
async def test_options_say_what_can_be_done(zoo: World, path: str, allow: str) -> None:
    answer = await zoo.request("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (200, allow, b"")


async def test_the_root_describes_what_the_caller_may_use(world: World, world_database: str) -> None:
    answer = await world.get("/")
    assert answer.headers["content-type"] == "application/openapi+json; charset=utf-8"
    document = answer.json()
    assert document["swagger"] == "2.0"
    assert document["info"]["title"] == "The zoo"
    assert "/private_notes" not in document["paths"]
    animals = document["definitions"]["animals"]
    assert animals["properties"]["id"]["description"] == "Note:\nThis is a Primary Key.<pk/>"
    assert animals["properties"]["house_id"]["description"] == (
        "Note:\nThis is a Foreign Key to `houses.id`.<fk table='houses' column='id'/>"
    )
    assert animals["properties"]["mood"]["enum"] == ["calm", "hungry", "angry"]
    assert animals["properties"]["name"] == {"format": "character varying", "type": "string", "maxLength": 20}
    assert animals["required"] == ["id", "name", "kind", "mood"]
    assert document["paths"]["/houses"]["get"]["summary"] == "A house"
    assert set(document["paths"]["/rpc/visit"]) == {"post"}
    keeper = (await world.get("/", role="keeper")).json()
    assert "/private_notes" in keeper["paths"]
    async with serving_world(world_database, openapi="ignore-privileges") as all_of_it:
        assert "/private_notes" in (await all_of_it.get("/")).json()["paths"]
    async with serving_world(world_database, openapi="disabled") as none:
        assert (await none.get("/")).json()["code"] == "PGRST126"


async def test_the_root_speaks_openapi_3_1_too(zoo: World) -> None:
    answer = await zoo.get("/", accept="application/vnd.oai.openapi+json")
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.1"
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    assert document["components"]["schemas"]["animals"]["properties"]["weight"]["type"] == ["number", "null"]
    for reference in set(json.dumps(document).split('"$ref": "')[1:]):
        kind, name = reference.split('"')[0].removeprefix("#/components/").split("/")
        assert name in document["components"][kind]


async def test_a_function_may_take_the_place_of_the_root(world_database: str) -> None:
    async with serving_world(world_database, root_spec=Name("", "overloaded")) as world:
        assert (await world.get("/")).json() == "none"


async def test_a_function_runs_before_every_request(world_database: str) -> None:
    admin = await asyncpg.connect(world_database)
    await admin.execute("""
        create function zoo.gatekeeper() returns void language plpgsql as $$
        begin
          if current_setting('request.headers')::json ->> 'x-stop' is not null then
            raise sqlstate 'PT403' using message = 'no';
          end if;
          perform set_config('response.headers', '[{"X-Checked": "yes"}]', true);
        end $$""")
    await admin.close()
    async with serving_world(world_database, pre_request=Name("zoo", "gatekeeper")) as world:
        assert (await world.get("/animals?limit=1")).headers["x-checked"] == "yes"
        assert (await world.get("/animals", x_stop="1")).status_code == 403


async def test_aggregates_may_be_switched_off(world_database: str) -> None:
    async with serving_world(world_database, aggregates=False) as world:
        assert (await world.get("/animals?select=weight.sum()")).json()["code"] == "PGRST123"
        assert await world.rows("/animals?select=count") == [{"count": 6}]


async def test_errors_may_be_brief(world_database: str) -> None:
    async with serving_world(world_database, minimal_errors=True) as world:
        assert set((await world.get("/nowhere")).json()) == {"code", "message"}


async def test_schemas_and_names_of_any_spelling_are_served(world_database: str) -> None:
    admin = await asyncpg.connect(world_database)
    await admin.execute("""
        create schema "SPECIAL ""@/\\#~_-"; grant usage on schema "SPECIAL ""@/\\#~_-" to visitor;
        create table "SPECIAL ""@/\\#~_-"."Names, .:*()" (id int primary key, "v (x)" text);
        insert into "SPECIAL ""@/\\#~_-"."Names, .:*()" values (1, 'a');
        grant select on "SPECIAL ""@/\\#~_-"."Names, .:*()" to visitor;""")
    await admin.close()
    async with serving_world(world_database, schemas=('SPECIAL "@/\\#~_-',)) as world:
        assert await world.rows("/Names%2C%20.%3A*()?select=%22v%20(x)%22&id=eq.1") == [{"v (x)": "a"}]
