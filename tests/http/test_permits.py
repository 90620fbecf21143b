"""What the permits endpoints refuse."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.conftest import OTHER_TRAVELLER, Api

GOOD = {"park": "Akagera", "visit_date": "2099-06-03", "pax_count": 2}
UNKNOWN = "99999999-9999-4999-8999-999999999999"


async def test_every_fault_is_in_one_answer(api: Api) -> None:
    body = {"park": "Serengeti", "visit_date": "2025-02-30", "pax_count": 0, "note": "x" * 501}
    answer = await api.post("permits-request", body)
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        "park must be Volcanoes|Nyungwe|Akagera",
        "visit_date must be YYYY-MM-DD",
        "pax_count must be a positive integer",
        "note must be <= 500 characters",
    ]


@pytest.mark.parametrize("pax_count", ["2", True, 1.5, -1, 2**31, 2**64, None])
async def test_the_number_of_people_is_a_positive_integer(api: Api, pax_count: object) -> None:
    answer = await api.post("permits-request", {**GOOD, "pax_count": pax_count})
    assert (answer.status_code, answer.json()["errors"]) == (400, ["pax_count must be a positive integer"])


async def test_yesterday_is_refused_and_today_is_not(api: Api) -> None:
    async def asked(days: int) -> httpx.Response:
        day = datetime.now(ZoneInfo("Africa/Kigali")).date() + timedelta(days)
        return await api.post("permits-request", {**GOOD, "visit_date": day.isoformat()})

    late = await asked(-1)
    assert (late.status_code, late.json()["error"]) == (400, "visit_date must be today or later")
    assert (await asked(0)).status_code == 200


async def test_a_repeated_request_with_its_key_is_one_row(api: Api) -> None:
    headers = {**api.user(), "idempotency-key": "one"}
    first, second = [await api.post("permits-request", GOOD, headers) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("function", ["permits-ops-approve", "permits-ops-reject", "permits-cancel"])
async def test_an_unknown_request_is_404(api: Api, function: str) -> None:
    answer = await api.post(function, {"request_id": UNKNOWN}, api.ops)
    assert (answer.status_code, answer.json()["error"]) == (404, "Request not found")


async def test_the_traveller_may_give_up_and_nobody_else_learns_of_the_request(api: Api) -> None:
    target = (await api.post("permits-request", GOOD, api.user())).json()["request_id"]
    assert (await api.post("permits-cancel", {"request_id": target})).status_code == 401
    other = await api.post("permits-cancel", {"request_id": target}, api.user(OTHER_TRAVELLER))
    assert (other.status_code, other.json()["error"]) == (404, "Request not found")
    own = await api.post("permits-cancel", {"request_id": target}, api.user())
    assert own.json() == {"ok": True, "request_id": target, "status": "cancelled"}
    late = await api.post("permits-ops-approve", {"request_id": target}, api.ops)
    assert (late.status_code, late.json()["error"]) == (409, "Only pending requests can be approved")


async def test_a_decision_needs_a_uuid(api: Api) -> None:
    answer = await api.post("permits-ops-approve", {"request_id": "1", "note": 5}, api.ops)
    assert answer.json()["errors"] == ["request_id must be a valid UUID", "note must be <= 500 characters"]
