"""Embedded resources: every kind of relationship, hints, joins, spreads, nested filters and orders."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.http.conftest import World, serving_world

EMBEDS: dict[str, Any] = {
    # to one, null when there is none
    "/houses?select=id,countries(name)&id=in.(1,4)&order=id": [
        {"id": 1, "countries": {"name": "Rwanda"}},
        {"id": 4, "countries": None},
    ],
    # to many, [] when there are none
    "/houses?select=id,animals(name)&id=in.(2,4)&order=id": [
        {"id": 2, "animals": [{"name": "Polly"}]},
        {"id": 4, "animals": []},
    ],
    # by constraint, by column, with an alias
    "/tours?select=id,tours_start(name),end:end_house_id(name)&id=eq.1": [
        {"id": 1, "tours_start": {"name": "Ape House"}, "end": {"name": "Bird House"}}
    ],
    "/houses?select=id,tours!tours_end(id)&id=eq.2": [{"id": 2, "tours": [{"id": 1}]}],
    # many to many
    "/keepers?select=name,animals!keeping(name)&id=eq.2&animals.order=name": [
        {"name": "Bob", "animals": [{"name": "Koko"}, {"name": "Polly"}]}
    ],
    # one to one, both ways
    "/houses?select=id,house_plans(plan)&id=in.(1,3)&order=id": [
        {"id": 1, "house_plans": {"plan": "round"}},
        {"id": 3, "house_plans": None},
    ],
    "/house_plans?select=plan,houses(name)&house_id=eq.1": [{"plan": "round", "houses": {"name": "Ape House"}}],
    # to itself: children by the table, parent by the column
    "/animals?select=name,animals(name),parent_id(name)&id=in.(1,2)&order=id&animals.order=id": [
        {"name": "Koko", "animals": [{"name": "Kiki"}, {"name": "Kaka"}], "parent_id": None},
        {"name": "Kiki", "animals": [], "parent_id": {"name": "Koko"}},
    ],
    # composite keys
    "/cages?select=number,cleanings(id)&house_id=eq.1&order=number": [
        {"number": 1, "cleanings": [{"id": 1}]},
        {"number": 2, "cleanings": [{"id": 2}]},
    ],
    # through views, and views of views
    "/big_houses?select=title,animals(name)&id=eq.1&animals.order=id&animals.limit=1": [
        {"title": "Ape House", "animals": [{"name": "Koko"}]}
    ],
    "/over_view?select=nr,countries(name)&nr=eq.1": [{"nr": 1, "countries": {"name": "Rwanda"}}],
    "/animals_of_houses?select=id,big_houses(title)&id=eq.1": [{"id": 1, "big_houses": {"title": "Ape House"}}],
    # computed relationships, to many and to one
    "/houses?select=id,heavy_animals(name)&id=eq.1&heavy_animals.order=id": [
        {"id": 1, "heavy_animals": [{"name": "Koko"}, {"name": "Kiki"}]}
    ],
    "/animals?select=name,home(name)&id=in.(1,6)&order=id": [
        {"name": "Koko", "home": {"name": "Ape House"}},
        {"name": "Lost", "home": None},
    ],
    # inner joins filter the parents, left ones do not
    "/houses?select=id,countries!inner(name)&countries.name=eq.Kenya": [{"id": 3, "countries": {"name": "Kenya"}}],
    "/houses?select=id,countries!left(name)&countries.name=eq.Kenya&order=id&limit=1": [{"id": 1, "countries": None}],
    "/houses?select=id,animals!inner()&animals.weight=gt.100": [{"id": 1}],
    "/tours?select=id,houses!tours_start!inner(name)&houses.name=eq.Ape House": [
        {"id": 1, "houses": {"name": "Ape House"}}
    ],
    # nested, with filters, logic, order and limit on each level
    "/countries?select=name,houses(name,animals(name))&id=eq.1&houses.order=name.desc&houses.animals.or="
    "(name.eq.Kiki,name.eq.Polly)": [
        {
            "name": "Rwanda",
            "houses": [
                {"name": "Bird House", "animals": [{"name": "Polly"}]},
                {"name": "Ape House", "animals": [{"name": "Kiki"}]},
            ],
        }
    ],
    "/houses?select=id,a:animals(id),b:animals(id)&id=eq.1&a.id=eq.1&b.id=gt.1&b.order=id": [
        {"id": 1, "a": [{"id": 1}], "b": [{"id": 2}, {"id": 3}]}
    ],
    # semi- and anti-joins, also inside logic
    "/houses?select=id,animals()&animals=is.null": [{"id": 4}],
    "/houses?select=id,animals()&animals=not.is.null&order=id": [{"id": 1}, {"id": 2}, {"id": 3}],
    "/houses?select=id,animals(),countries()&or=(animals.is.null,countries.is.null)": [{"id": 4}],
    "/houses?select=id,animals()&animals.kind=eq.parrot&animals=not.is.null": [{"id": 2}],
    # order of the parent by an embed
    "/tours?select=id,houses!tours_start(name)&order=houses(name).desc": [
        {"id": 2, "houses": {"name": "Bird House"}},
        {"id": 1, "houses": {"name": "Ape House"}},
    ],
    # spreads
    "/houses?select=name,...countries(country:name)&id=in.(1,4)&order=id": [
        {"name": "Ape House", "country": "Rwanda"},
        {"name": "Empty House", "country": None},
    ],
    "/countries?select=name,...houses(house:name,id)&id=in.(1,3)&order=id&houses.order=name.desc": [
        {"name": "Rwanda", "house": ["Bird House", "Ape House"], "id": [2, 1]},
        {"name": "Chad", "house": [], "id": []},
    ],
    "/animals?select=name,...houses(house:name,...countries(country:name))&id=eq.5": [
        {"name": "Pingu", "house": "Cold House", "country": "Kenya"}
    ],
    # to-many in to-many: an array for each element, in its order; a missing row is null there, as is a missing value
    "/countries?select=name,...houses(house:name,built,...animals(animal:name),plan:house_plans(plan))&id=eq.1"
    "&houses.order=name.desc&houses.animals.order=name": [
        {
            "name": "Rwanda",
            "house": ["Bird House", "Ape House"],
            "built": ["2005-06-30", "1999-01-01"],
            "animal": [["Polly"], ["Kaka", "Kiki", "Koko"]],
            "plan": [{"plan": "square"}, {"plan": "round"}],
        }
    ],
    "/countries?select=...houses(built,...house_plans(plan),animals(id))&id=eq.2": [
        {"built": [None], "plan": [None], "animals": [[{"id": 5}]]}
    ],
    "/countries?select=id,...houses(name,...house_plans(plan))&houses.order=house_plans(plan).desc&id=eq.1": [
        {"id": 1, "name": ["Bird House", "Ape House"], "plan": ["square", "round"]}
    ],
    "/countries?select=country:id,...houses!inner(*,...cages(size))&houses.id=eq.1&houses.cages.order=size": [
        {
            "country": 1,
            "id": [1],
            "name": ["Ape House"],
            "country_id": [1],
            "built": ["1999-01-01"],
            "tags": [["warm", "big"]],
            "open_hours": ["[8,18)"],
            "facts": [{"area": 120, "pond": {"deep": True, "fish": ["carp", "eel"]}}],
            "size": [[20, 30]],
        }
    ],
    "/countries?select=id,...houses(name)&houses=is.null": [{"id": 3, "name": []}],
    # an empty spread adds nothing, and what follows the last bracket is not read
    "/countries?select=id,...houses(...animals()))&id=eq.1": [{"id": 1}],
    "/keepers?select=name,...animals!keeping(names:name)&id=eq.1": [{"name": "Ann", "names": ["Koko", "Kiki"]}],
    "/houses?select=...countries(*)&id=eq.1": [{"id": 1, "name": "Rwanda", "Größe km²": 26338, "select": "x,y"}],
    # a relation spread more than once, and beside itself
    "/animals?select=name,...houses(house:name),...houses(built)&id=eq.5": [
        {"name": "Pingu", "house": "Cold House", "built": None}
    ],
    "/animals?select=...houses(house:name),houses(id),...houses(built)&id=eq.1": [
        {"house": "Ape House", "houses": {"id": 1}, "built": "1999-01-01"}
    ],
    "/countries?select=id,...houses(name),...houses(built)&id=in.(2,3)&order=id": [
        {"id": 2, "name": ["Cold House"], "built": [None]},
        {"id": 3, "name": [], "built": []},
    ],
    "/houses?select=...countries(country:name,...houses(a:id),...houses(b:name))&id=eq.3": [
        {"country": "Kenya", "a": [3], "b": ["Cold House"]}
    ],
    # aggregates inside an embed
    "/houses?select=name,animals(count())&order=id&limit=1": [{"name": "Ape House", "animals": [{"count": 3}]}],
    # a function's rows embed like their table
    "/rpc/animals_in?house=2&select=name,houses(name)": [{"name": "Polly", "houses": {"name": "Bird House"}}],
    "/rpc/one_animal?wanted=1&select=name,keepers!keeping(name)&keepers.order=name": {
        "name": "Koko",
        "keepers": [{"name": "Ann"}, {"name": "Bob"}],
    },
}


@pytest.mark.parametrize("path", EMBEDS)
async def test_a_resource_embeds(zoo: World, path: str) -> None:
    assert await zoo.rows(path) == EMBEDS[path]


async def test_two_ways_are_ambiguous(zoo: World) -> None:
    answer = await zoo.get("/tours?select=id,houses(name)")
    assert answer.status_code == 300
    assert answer.json() == {
        "code": "PGRST201",
        "details": [
            {
                "cardinality": "many-to-one",
                "embedding": "tours with houses",
                "relationship": "tours_end using tours(end_house_id) and houses(id)",
            },
            {
                "cardinality": "many-to-one",
                "embedding": "tours with houses",
                "relationship": "tours_start using tours(start_house_id) and houses(id)",
            },
        ],
        "hint": "Try changing 'houses' to one of the following: 'houses!tours_end', 'houses!tours_start'. "
        "Find the desired relationship in the 'details' key.",
        "message": "Could not embed because more than one relationship was found for 'tours' and 'houses'",
    }


@pytest.mark.parametrize(
    ("path", "code", "hint"),
    [
        ("/animals?select=id,zzzz(id)", "PGRST200", None),
        ("/animals?select=id,house(id)", "PGRST200", "Perhaps you meant 'houses' instead of 'house'."),
        (
            "/animals?select=id&houses.id=eq.1",
            "PGRST108",
            "Verify that 'houses' is included in the 'select' query parameter.",
        ),
        ("/houses?select=id,animals(id)&order=animals(id)", "PGRST118", None),
        ("/houses?select=id,animals(id)&animals=eq.1", "PGRST120", None),
        ("/countries?select=name,...houses(id.sum())", "PGRST127", None),
        ("/animals?select=name,houses(id),houses(name)", "42712", None),
    ],
)
async def test_embeds_that_cannot_be_are_explained(zoo: World, path: str, code: str, hint: str | None) -> None:
    answer = await zoo.get(path)
    assert (answer.status_code, answer.json()["code"], answer.json()["hint"]) == (400, code, hint)


async def test_an_aliased_embed_may_still_be_named_by_its_relation(zoo: World, zoo_database: str) -> None:
    path = "/houses?select=id,beasts:animals(id)&id=eq.1&animals.id=eq.1"
    answer = await zoo.get(path)
    assert answer.json() == [{"id": 1, "beasts": [{"id": 1}]}]
    assert answer.headers["warning"].startswith("299 ")
    async with serving_world(zoo_database, legacy_names=False) as strict:
        refused = await strict.get(path)
        assert refused.json()["hint"] == "Change 'animals' to 'beasts' in filters, orders or limits."
