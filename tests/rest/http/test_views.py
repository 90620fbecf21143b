"""Relationships of views of every shape, of hidden tables, and between tables with several ways to one another."""

from __future__ import annotations

import asyncpg

from tests.rest.http.conftest import serving_world

VIEWS = """
create view zoo.of_subquery as select x.id, x.name, x.country_id as land from (select * from zoo.houses where id < 3) x;
create view zoo.of_cte as with few as (select id, country_id from zoo.houses where id < 3) select * from few;
create view zoo.with_subselects as
  select id, (select count(*) from zoo.animals a where a.house_id = houses.id) as animals_in, country_id,
    case when exists (select from zoo.cages c where c.house_id = houses.id) then 'caged' end as state
  from zoo.houses;
create view zoo.grouped as select country_id, count(*)::int as houses from zoo.houses group by country_id;
create view zoo.united as select id, country_id from zoo.houses union all select id, country_id from zoo.houses;
create view zoo.twice as select id, country_id as first, country_id as second from zoo.houses;
create view zoo.cages_seen as select house_id as house, number as nr from zoo.cages;
create view zoo.cleanings_seen as select id, house_id as house, cage_number as nr from zoo.cleanings;
create table hidden.kin (id int primary key, name text, parent int references hidden.kin);
insert into hidden.kin values (1, 'Koko', null), (2, 'Kiki', 1), (3, 'Kaka', 1);
create view zoo.family as select * from hidden.kin;

create table hidden.sponsors (country int references zoo.countries, keeper int references zoo.keepers,
  primary key (country, keeper));
insert into hidden.sponsors values (1, 3);
create table hidden.towns (id int primary key, country int references zoo.countries);
create table hidden.streets (country int references zoo.countries, animal int references zoo.animals,
  primary key (country, animal));
create table zoo.streets (name text);

create table zoo.crews (id int primary key, name text, head int references zoo.keepers);
alter table zoo.keepers add crew int references zoo.crews;
create table zoo.following (follower int references zoo.keepers, followed int references zoo.keepers,
  primary key (follower, followed));
insert into zoo.following values (2, 1), (3, 1);
create function zoo.countries(zoo.houses) returns setof zoo.countries rows 1 language sql stable as
  $$ select * from zoo.countries where id = 3 $$;
grant select on all tables in schema zoo to visitor;
"""
FOUND = {
    "/of_subquery?select=name,countries(name)&id=eq.1": [{"name": "Ape House", "countries": {"name": "Rwanda"}}],
    "/of_cte?select=id,countries(id)&id=eq.1": [{"id": 1, "countries": {"id": 1}}],
    "/with_subselects?select=animals_in,state,countries(id),animals(id)&id=eq.3": [
        {"animals_in": 1, "state": None, "countries": {"id": 2}, "animals": [{"id": 5}]}
    ],
    "/grouped?select=houses,countries(name)&houses=eq.2": [{"houses": 2, "countries": {"name": "Rwanda"}}],
    "/twice?select=countries!second(id)&id=eq.1": [{"countries": {"id": 1}}],
    "/cages_seen?select=nr,cleanings_seen(id)&house=eq.2": [{"nr": 1, "cleanings_seen": [{"id": 3}]}],
    "/cleanings_seen?select=id,cages_seen(nr),cages(size)&id=eq.2": [
        {"id": 2, "cages_seen": {"nr": 2}, "cages": {"size": 30}}
    ],
    "/family?select=name,parent(name),family(name)&id=in.(1,2)&order=id&family.order=id": [
        {"name": "Koko", "parent": None, "family": [{"name": "Kiki"}, {"name": "Kaka"}]},
        {"name": "Kiki", "parent": {"name": "Koko"}, "family": []},
    ],
    # A junction that refers twice to one table is walked by hand.
    "/keepers?select=name,fans:following!followed(...keepers!follower(name))&id=eq.1": [
        {"name": "Ann", "fans": [{"name": "Bob"}, {"name": "Cid"}]}
    ],
    # A computed relationship takes the place of a foreign key's.
    "/houses?select=countries(name)&id=eq.1": [{"countries": {"name": "Chad"}}],
}
REFUSED = {
    "/united?select=id,countries(id)": (400, "PGRST200"),
    "/twice?select=countries(id)": (300, "PGRST201"),
    "/keepers?select=crews(id)": (300, "PGRST201"),
    "/countries?select=keepers(name)": (400, "PGRST200"),
    "/countries?select=towns(id)": (400, "PGRST200"),
    "/countries?select=animals(id)": (400, "PGRST200"),
    "/events?select=events_2023(id)": (400, "PGRST200"),
}


async def test_relationships_of_views_and_hidden_tables(world_database: str) -> None:
    connection = await asyncpg.connect(world_database)
    await connection.execute(VIEWS)
    await connection.close()
    async with serving_world(world_database) as world:
        for path, expected in FOUND.items():
            assert await world.rows(path) == expected, path
        for path, refusal in REFUSED.items():
            answer = await world.get(path)
            assert (answer.status_code, answer.json()["code"]) == refusal, path
