"""Runbook, "Privacy Ops", in its order."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import asyncpg
import pytest

from tests.conftest import OPS_USER, OTHER_TRAVELLER, TRAVELLER, Api


async def created(api: Api, kind: str, user_id: str = TRAVELLER) -> str:
    answer = await api.post("privacy-request", {"kind": kind, "subject_user_id": user_id}, api.user(user_id))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def approved(api: Api, kind: str, user_id: str = TRAVELLER) -> str:
    target = await created(api, kind, user_id)
    answer = await api.post(
        "privacy-review", {"request_id": target, "decision": "approve", "note": "looks good"}, api.service
    )
    assert answer.json() == {"ok": True, "request_id": target, "status": "approved"}
    return target


async def test_a_user_asks_for_themself_and_asking_again_gives_the_same_request(
    api: Api, admin: asyncpg.Connection
) -> None:
    body = {"kind": "erasure", "subject_user_id": TRAVELLER, "reason": "moving on"}
    first = await api.post("privacy-request", body, api.user())
    again = await api.post("privacy-request", body, api.user())
    assert first.json() == again.json()
    row = await admin.fetchrow("select * from privacy.requests where id = $1", first.json()["request_id"])
    assert row is not None
    assert (row["status"], str(row["requester_user_id"]), row["reason"]) == ("received", TRAVELLER, "moving on")
    assert 28 <= (row["due_at"] - row["created_at"]).days <= 31


async def test_nobody_asks_for_another_and_anonymous_callers_for_nobody(api: Api) -> None:
    body = {"kind": "export", "subject_user_id": OTHER_TRAVELLER}
    assert (await api.post("privacy-request", body)).status_code == 401
    assert (await api.post("privacy-request", body, api.user())).status_code == 403
    assert (await api.post("privacy-request", body, api.service)).status_code == 200


async def test_ops_review_once(api: Api) -> None:
    target = await approved(api, "export")
    again = await api.post("privacy-review", {"request_id": target, "decision": "reject"}, api.ops)
    assert (again.status_code, again.json()["error"]) == (409, "The request is already approved")
    unknown = await api.post("privacy-review", {"request_id": OPS_USER, "decision": "reject"}, api.ops)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Request not found")


async def test_an_export_is_downloaded_and_a_fresh_one_ends_the_link_before(api: Api) -> None:
    target = await approved(api, "export")
    first = await api.post("privacy-export", {"request_id": target}, api.service)
    assert set(first.json()) == {"ok", "request_id", "signed_url", "expires_at"}
    archive = zipfile.ZipFile(io.BytesIO((await api.http.get(first.json()["signed_url"])).content))
    profile = json.loads(archive.read("core.profiles.json"))
    assert profile["label"] == "Profile"
    assert [row["full_name"] for row in profile["rows"]] == ["Amina Uwase"]
    second = await api.post("privacy-export", {"request_id": target}, api.ops)
    assert (await api.http.get(first.json()["signed_url"])).status_code == 400
    assert (await api.http.get(second.json()["signed_url"])).status_code == 200


async def test_an_erasure_is_planned_and_then_executed_as_planned(api: Api, admin: asyncpg.Connection) -> None:
    export = await approved(api, "export")
    link = (await api.post("privacy-export", {"request_id": export}, api.service)).json()["signed_url"]
    target = await approved(api, "erasure")
    planned = (await api.post("privacy-erasure-dryrun", {"request_id": target}, api.service)).json()
    document = (await api.http.get(planned["signed_url"])).content
    assert f"/privacy_plans/{target}_plan.json?" in planned["signed_url"]
    assert hashlib.sha256(document).hexdigest() == planned["plan_sha256"]
    assert {"schema": "core", "table": "profiles", "action": "delete", "count": 1} in planned["plan"]
    assert {"schema", "table", "count", "legal_basis", "retain_until"} == set(planned["kept"][0])
    assert await admin.fetchval("select full_name from core.profiles where auth_user_id = $1", TRAVELLER)

    body = {"request_id": target, "confirm": "ERASE"}
    done = (await api.post("privacy-erasure-execute", body, api.service)).json()
    assert (done["ok"], done["status"]) == (True, "completed")
    assert done["summary"] == planned["plan"]
    assert done["certificate"]["plan_sha256"] == planned["plan_sha256"]
    assert not await admin.fetchval("select count(*) from core.profiles where auth_user_id = $1", TRAVELLER)
    assert await admin.fetchval("select who from audit.events where what = 'privacy.erased'") == "service-role"
    assert (await api.http.get(link)).status_code in (400, 404)
    again = (await api.post("privacy-erasure-execute", body, api.service)).json()
    assert again == done


async def test_a_row_between_dry_run_and_execution_stops_it_and_changes_nothing(
    api: Api, admin: asyncpg.Connection
) -> None:
    target = await approved(api, "erasure")
    await api.post("privacy-erasure-dryrun", {"request_id": target}, api.ops)
    permit = {"park": "Akagera", "visit_date": "2099-01-01", "pax_count": 1}
    assert (await api.post("permits-request", permit, api.user())).status_code == 200
    body = {"request_id": target, "confirm": "ERASE"}
    stale = await api.post("privacy-erasure-execute", body, api.ops)
    assert (stale.status_code, stale.json()["code"]) == (409, "DATA_CONFLICT")
    assert stale.json()["error"].startswith("plan_stale")
    assert await admin.fetchval("select full_name from core.profiles where auth_user_id = $1", TRAVELLER)
    await api.post("privacy-erasure-dryrun", {"request_id": target}, api.ops)
    assert (await api.post("privacy-erasure-execute", body, api.ops)).json()["status"] == "completed"


async def test_execution_needs_the_word_and_a_plan(api: Api) -> None:
    target = await approved(api, "erasure")
    wrong = await api.post("privacy-erasure-execute", {"request_id": target, "confirm": "erase"}, api.ops)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "confirm must be ERASE")
    early = await api.post("privacy-erasure-execute", {"request_id": target, "confirm": "ERASE"}, api.ops)
    assert (early.status_code, early.json()["code"]) == (409, "DATA_CONFLICT")


async def test_only_ops_and_the_service_review_export_and_erase(api: Api) -> None:
    target = await approved(api, "erasure")
    for function, body in (
        ("privacy-review", {"request_id": target, "decision": "approve"}),
        ("privacy-export", {"request_id": target}),
        ("privacy-erasure-dryrun", {"request_id": target}),
        ("privacy-erasure-execute", {"request_id": target, "confirm": "ERASE"}),
    ):
        assert (await api.post(function, body)).status_code == 401
        assert (await api.post(function, body, api.user())).status_code == 403


async def test_lines_hold_ids_and_states_only(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    target = await approved(api, "erasure")
    await api.post("privacy-erasure-dryrun", {"request_id": target}, api.ops)
    await api.post("privacy-erasure-execute", {"request_id": target, "confirm": "ERASE"}, api.ops)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "privacy.request",
        "privacy.review",
        "privacy.erasure_dryrun",
        "privacy.erasure_execute",
    ]
    assert lines[-1].endswith(f"actor={OPS_USER} target={target} status=completed")
    assert not any(word in "\n".join(lines) for word in ("token=", "looks", "Amina"))
