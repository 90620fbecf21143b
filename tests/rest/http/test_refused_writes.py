"""What a caller can bring about is no fault of the server: no SQLSTATE of theirs is answered with 500."""

from __future__ import annotations

import asyncpg
import pytest

from src.rest.run.failures import refusal
from src.settings import DEFAULT_SCHEMAS
from tests.conftest import OPS_USER, Api

RELATIONS = """
select n.nspname as schema, c.relname as name, c.relkind in ('v', 'm') as is_view,
  (select quote_ident(a.attname) from pg_attribute a where a.attrelid = c.oid and a.attnum = 1) as first
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
BY_CALLERS = {
    "21000": 400,  # one row to be upserted stands twice in the body
    "22003": 400,
    "23502": 400,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "2201B": 400,
    "40001": 409,
    "40P01": 409,
    "42501": 403,
    "53400": 400,
    "54000": 400,
    "54001": 400,
    "55000": 405,
    "55P03": 503,
    "57014": 503,
    "P0001": 400,
    "P0002": 400,
    "P0003": 400,
    "PT409": 409,
}


async def test_no_write_of_anybody_is_answered_with_a_fault(api: Api, admin: asyncpg.Connection) -> None:
    relations = await admin.fetch(RELATIONS, list(DEFAULT_SCHEMAS))
    assert sum(row["is_view"] for row in relations) > 5
    for headers in (Api.anonymous, Api.user(), Api.user(OPS_USER), Api.service):
        for schema, name, is_view, first in relations:
            path = f"/rest/v1/{name}"
            sent = {**headers, "content-profile": schema, "prefer": "tx=rollback"}
            for method, query in (("POST", ""), ("PATCH", f"?{first}=is.null"), ("DELETE", f"?{first}=is.null")):
                answer = await api.http.request(method, path + query, json={first: None}, headers=sent)
                assert answer.status_code < 500, (method, schema, name, answer.text)
                if is_view:
                    assert answer.status_code >= 400, (method, schema, name, answer.text)


@pytest.mark.parametrize(("code", "status"), BY_CALLERS.items())
def test_what_a_caller_can_bring_about_is_none_of_the_servers_faults(code: str, status: int) -> None:
    error = asyncpg.PostgresError.new({"C": code, "M": "as it is"})
    answer = refusal(error, anonymous=False)
    assert answer.status == status
    assert (("Retry-After", "1") in answer.headers) is (status == 503)


@pytest.mark.parametrize("code", ["42P17", "58030", "P0004", "XX000", "XX001"])
def test_a_fault_of_the_server_is_one(code: str) -> None:
    assert refusal(asyncpg.PostgresError.new({"C": code, "M": "as it is"}), anonymous=False).status == 500


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ("tsquery.c", 400, "54000"),
        ("mcxt.c", 400, "54000"),
        ("relcache.c", 500, "XX000"),
        ("regc.cc", 500, "XX000"),
        (None, 500, "XX000"),
    ],
)
def test_what_postgresql_did_not_foresee_is_the_callers_where_it_deals_with_values(
    file: str | None, status: int, code: str
) -> None:
    error = asyncpg.PostgresError.new({"C": "XX000", "M": "as it is", **({"F": file} if file else {})})
    answer = refusal(error, anonymous=False)
    assert (answer.status, answer.code) == (status, code)


async def test_a_row_that_stands_twice_in_an_upsert_is_the_callers(api: Api) -> None:
    row = {"code": "X", "tier": "gold", "confirmation_hours": 1}
    headers = {**Api.service, "content-profile": "booking", "prefer": "resolution=merge-duplicates"}
    answer = await api.http.post("/rest/v1/suppliers", json=[row, row], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "21000")
