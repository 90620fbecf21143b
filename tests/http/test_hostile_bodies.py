"""Bodies of up to 1 MiB of every hostile shape, by every caller, to every function and procedure that is described.

Each gets an answer that the document allows, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import asyncpg
import httpx
import pytest

from bench.hostile_corpus import VALUES, Hostile, declared_functions, declared_procedures, post
from tests.conftest import Api

TABLES = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
CALLERS = ("anonymous", "user", "ops", "service")


def of(api: Api, caller: str) -> Mapping[str, str]:
    headers: Mapping[str, str] = api.user() if caller == "user" else getattr(api, caller)
    return headers


async def sent(api: Api, request: Hostile, caller: str) -> httpx.Response:
    headers = {**of(api, caller), **request.headers}
    return await api.http.request(request.method, request.target, content=request.body, headers=headers)


async def contents(admin: asyncpg.Connection) -> Mapping[str, str]:
    """A hash of all that each table holds."""
    tables = [row[0] for row in await admin.fetch(TABLES)]
    hashes = [f"select '{name}', md5(string_agg(t::text, '' order by t::text)) from {name} t" for name in tables]
    return {row[0]: row[1] for row in await admin.fetch(" union all ".join(hashes))}


def bodies(document: Mapping[str, object]) -> Iterator[Hostile]:
    """Who declares no fields does its work whatever the body says, and is left out."""
    declared = [one for one in declared_functions(document) if one.name.endswith("in every field")]
    yield from declared
    for target in {one.target for one in declared}:
        yield from (post(f"{target}: {name}", target, value) for name, value in VALUES.items())


@pytest.mark.parametrize("caller", CALLERS)
async def test_functions_give_a_documented_answer_and_write_nothing(
    api: Api, admin: asyncpg.Connection, caller: str
) -> None:
    document = (await api.http.get("/schema")).json()
    targets = {
        path: {int(status) for status in item["post"]["responses"]}
        for path, item in document["paths"].items()
        if "post" in item
    }
    before = await contents(admin)
    faults = []
    for request in bodies(document):
        answer = await sent(api, request, caller)
        if answer.status_code not in targets[request.target] - {200, 500}:
            faults.append(f"{request.name}: {answer.status_code} {answer.text[:100]}")
    assert not faults
    assert await contents(admin) == before


@pytest.mark.parametrize("caller", CALLERS)
async def test_procedures_refuse_and_write_nothing(api: Api, admin: asyncpg.Connection, caller: str) -> None:
    document = (await api.http.get("/rest/v1/", headers=dict(of(api, caller)))).json()
    requests = list(declared_procedures(document))
    assert requests
    before = await contents(admin)
    faults = []
    for request in requests:
        answer = await sent(api, request, caller)
        if answer.status_code >= 500:
            faults.append(f"{request.name}: {answer.status_code} {answer.text[:100]}")
    assert not faults
    assert await contents(admin) == before
