"""The privacy functions by /rest/v1/rpc: the same rules as over the endpoints and in psql."""

from __future__ import annotations

import json

import asyncpg
import httpx
import pytest

from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, Api
from tests.support.persons import SECRET

UNKNOWN = "99999999-9999-4999-8999-999999999999"
AUDIT = {"p_who": OPS_USER, "p_what": "privacy.told", "p_payload": {"privacy_request_id": UNKNOWN}}
FOR_OPS = [
    ("privacy_get_datamap", {}),
    ("privacy_get_request", {"p_request_id": UNKNOWN}),
    ("privacy_log_audit", AUDIT),
    ("review_privacy_request", {"p_request_id": UNKNOWN, "p_decision": "approve"}),
    ("start_privacy_review", {"p_request_id": UNKNOWN}),
    ("extend_privacy_request", {"p_request_id": UNKNOWN, "p_months": 1, "p_reason": "why"}),
    ("begin_privacy_export", {"p_request_id": UNKNOWN}),
    ("plan_privacy_erasure", {"p_request_id": UNKNOWN}),
    ("execute_privacy_erasure", {"p_request_id": UNKNOWN, "p_confirm": "ERASE", "p_secret": SECRET}),
    ("find_erased_subject", {"p_request_id": UNKNOWN, "p_secret": SECRET}),
]


async def rpc(api: Api, function: str, body: object, headers: dict[str, str]) -> httpx.Response:
    return await api.http.post(f"/rest/v1/rpc/{function}", json=body, headers=headers)


@pytest.mark.parametrize(("function", "body"), FOR_OPS)
async def test_neither_anonymous_callers_nor_travellers_get_through(
    api: Api, admin: asyncpg.Connection, function: str, body: object
) -> None:
    assert (await rpc(api, function, body, api.anonymous)).status_code == 401
    assert (await rpc(api, function, body, api.user())).status_code == 403
    assert await admin.fetchval("select count(*) from audit.events where what like 'privacy.%'") == 0


async def test_anonymous_callers_create_no_request_and_users_only_their_own(
    api: Api, admin: asyncpg.Connection
) -> None:
    def body(subject: str) -> dict[str, str]:
        return {"p_kind": "erasure", "p_subject_user_id": subject}

    assert (await rpc(api, "create_privacy_request", body(TRAVELLER), api.anonymous)).status_code == 401
    assert (await rpc(api, "create_privacy_request", body(OTHER_TRAVELLER), api.user())).status_code == 403
    assert await admin.fetchval("select count(*) from privacy.requests") == 0
    assert (await rpc(api, "create_privacy_request", body(TRAVELLER), api.user())).status_code == 200
    own = await api.http.get("/rest/v1/privacy.requests?select=kind,status", headers=api.user())
    assert own.json() == [{"kind": "erasure", "status": "received"}]
    other = await api.http.get("/rest/v1/privacy.requests", headers=api.user(OTHER_TRAVELLER))
    assert other.json() == []


async def test_ops_and_the_service_read_the_map_and_requests(api: Api) -> None:
    asked = {"p_kind": "export", "p_subject_user_id": TRAVELLER, "p_reason": "curious"}
    target = (await rpc(api, "create_privacy_request", asked, api.service)).json()["request_id"]
    for headers in (api.ops, api.service):
        data_map = (await rpc(api, "privacy_get_datamap", {}, headers)).json()
        assert {"core.profiles.email", "wa.messages.body"} <= {
            f"{row['table_schema']}.{row['table_name']}.{row['column_name']}" for row in data_map
        }
        [found] = (await rpc(api, "privacy_get_request", {"p_request_id": target}, headers)).json()
        assert (found["id"], found["kind"], found["reason"]) == (target, "export", "curious")
        assert (await rpc(api, "privacy_get_request", {"p_request_id": UNKNOWN}, headers)).json() == []


async def test_an_audit_row_is_written_in_ones_own_name(api: Api, admin: asyncpg.Connection) -> None:
    assert (await rpc(api, "privacy_log_audit", {**AUDIT, "p_who": TRAVELLER}, api.ops)).status_code == 403
    assert (await rpc(api, "privacy_log_audit", {**AUDIT, "p_what": "payment.paid"}, api.ops)).status_code == 400
    assert (await rpc(api, "privacy_log_audit", AUDIT, api.ops)).status_code == 200
    assert (await rpc(api, "privacy_log_audit", {**AUDIT, "p_who": TRAVELLER}, api.service)).status_code == 200
    rows = await admin.fetch("select who, payload from audit.events where what = 'privacy.told' order by id")
    assert [(row["who"], json.loads(row["payload"])) for row in rows] == [
        (OPS_USER, AUDIT["p_payload"]),
        (TRAVELLER, AUDIT["p_payload"]),
    ]
