"""AUDIT lines: exactly one a call, in the runbook's shapes, and nobody can forge one."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.domain.audit import AuditLine
from tests.conftest import CHECKOUT, TRAVELLER, Api
from tests.support.endpoints import declared


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().out.splitlines() if "AUDIT" in line]


async def test_the_ops_family_has_the_shape_of_the_runbook(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    await api.get("ops-bookings", api.service | {"x-request-id": "r1"}, from_="2025-10-01", to="2025-10-15")
    await api.get("ops-exceptions", api.anonymous | {"x-request-id": "r2"}, status="open")
    assert lines(capfd) == [
        "AUDIT ops.bookings requestId=r1 actor=bearer details=from=2025-10-01|to=2025-10-15|supplier=|results=6",
        "AUDIT ops.exceptions requestId=r2 actor=anonymous details=status=open|results=3",
    ]


async def test_the_others_are_flat_and_name_the_user(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    answer = (await api.post("bff-checkout", CHECKOUT, api.user() | {"x-request-id": "r1"})).json()
    payment, intent = answer["payment_id"], answer["payment_intent"]
    (line,) = lines(capfd)
    assert line == (
        f"AUDIT checkout.intent requestId=r1 actor={TRAVELLER} payment={payment} intent={intent}"
        " amount=25000 currency=USD mode=mock status=processing"
    )


async def test_a_refused_call_has_its_line_too(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    await api.post("bff-checkout", {}, {"x-request-id": "r1"})
    await api.post("bff-checkout", {}, api.anonymous | {"x-request-id": "r2"})
    await api.http.get("/functions/v1/bff-checkout", headers={"x-request-id": "r3"})
    assert lines(capfd) == [
        "AUDIT checkout.intent requestId=r1 actor=anonymous code=AUTH_REQUIRED status=401",
        "AUDIT checkout.intent requestId=r2 actor=anonymous code=INPUT_INVALID status=400",
        "AUDIT checkout.intent requestId=r3 actor=anonymous code=INPUT_INVALID status=405",
    ]


async def test_fifty_calls_at_once_write_fifty_lines_with_their_own_ids(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = await asyncio.gather(
        *(api.post("bff-checkout", CHECKOUT | {"amount_cents": number + 1}) for number in range(50))
    )
    ids = [answer.json()["request_id"] for answer in answers]
    written = lines(capfd)
    assert len(set(ids)) == 50
    assert sorted(line.split("requestId=")[1].split()[0] for line in written) == sorted(ids)


@pytest.mark.parametrize(
    "forged", ["x\nAUDIT ops.refund requestId=1", "x|results=99", "a=b", "%0AAUDIT", "\u2028AUDIT"]
)
async def test_a_forged_line_stays_a_value(api: Api, capfd: pytest.CaptureFixture[str], forged: str) -> None:
    await api.http.get(f"/functions/v1/ops-bookings?supplier={quote(forged)}", headers=api.anonymous)
    (line,) = lines(capfd)
    assert line.count("AUDIT ops.") == 1
    assert line.split("details=")[1].count("|") == 3
    assert len(line.split()) == 5


async def test_no_line_holds_what_somebody_wrote(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever field, query, path or header of whatever endpoint a person's name stands in."""
    name = "Zanele Dube"
    words = {"x-supplier": name, "x-hub-signature-256": name, "stripe-signature": name, "user-agent": name}
    for endpoint in declared():
        names = [field.encode_name for field in msgspec.structs.fields(endpoint.input)] if endpoint.input else []
        for headers in (api.anonymous, api.ops, api.service):
            for value in (name, {"object": {"id": name, "status": name}}):
                await api.post(
                    endpoint.name, {**dict.fromkeys(names, value), "type": name, "id": name}, headers | words
                )
            await api.get(endpoint.name, headers | words, **dict.fromkeys([*names, name], name))
    for path in (f"travellers/{TRAVELLER}/{name}.pdf", f"{name}/x.pdf", f"sign/travellers/{name}.pdf?token=x"):
        for method in ("GET", "POST", "PUT", "DELETE", "ZANELE"):
            await api.http.request(method, f"/storage/v1/object/{path}", headers=api.service | words, json={"a": name})
    written = lines(capfd)
    assert len(written) > 300
    assert [line for line in written if "Zanele" in line or "Dube" in line] == []


def test_a_fact_of_any_length_is_a_word() -> None:
    for text, shown in (("x" * 128, "x" * 128), ("x" * 129, None), ("a b", None), ("", ""), ("é", None)):
        expected = f"sha256:{sha256(text.encode()).hexdigest()[:16]}" if shown is None else shown
        assert str(AuditLine("a.b", "r", "anonymous", {"fact": text})).endswith(f" fact={expected}")


@given(st.text(), st.text(min_size=1))
def test_no_value_can_end_a_line_or_start_another_fact(value: str, request_id: str) -> None:
    line = str(AuditLine("checkout.intent", request_id, "anonymous", {"a": value, "b": 1}))
    assert line.isprintable()
    assert len(line.split(" ")) == 6
    assert line.count("=") == 4
