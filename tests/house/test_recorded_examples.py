"""Examples that are recorded anew differ from those of before only where something really differs."""

from __future__ import annotations

import re
from random import random
from uuid import uuid4

from tests.support.examples import chosen, steady


def recorded(**more: object) -> dict[str, object]:
    """One call's example, as another run would record it."""
    payment, at = str(uuid4()), f"2026-11-30T10:00:{uuid4().int % 60:02}.123Z"
    answer = {"ok": True, "payment_id": payment, "at": at, "items": [{"id": str(uuid4()), "ms": random()}], **more}
    return {"answer": answer, "body": {"payment_id": payment, "amount_cents": 25000}}


def test_another_run_changes_nothing() -> None:
    first = recorded()
    assert steady(recorded(), first) == first
    assert steady(first, None) == first


def test_a_new_field_changes_itself_alone_and_names_the_same_things() -> None:
    first, second = recorded(), recorded(total=1)
    assert isinstance(second["answer"], dict)
    second["answer"]["link"] = f"/pay/{second['answer']['payment_id']}"
    assert isinstance(first["answer"], dict)
    expected = {**first["answer"], "total": 1, "link": f"/pay/{first['answer']['payment_id']}"}
    assert steady(second, first) == {**first, "answer": expected}


def test_what_differs_is_told() -> None:
    first, second = recorded(), recorded()
    second["body"] = {"amount_cents": 1}
    assert isinstance(second["answer"], dict)
    second["answer"]["items"] = [
        {"id": str(uuid4()), "ms": 1, "title": "Huye"},
        {"id": str(uuid4()), "title": "Kigali"},
    ]
    found = steady(second, first)
    assert isinstance(found, dict)
    assert found["body"] == {"amount_cents": 1}
    assert [item["title"] for item in found["answer"]["items"]] == ["Huye", "Kigali"]
    assert len({item["id"] for item in found["answer"]["items"]}) == 2
    assert all(re.fullmatch(r"[0-9a-f-]{36}", item["id"]) for item in found["answer"]["items"])


def test_of_many_calls_the_one_is_shown_that_was_shown_before() -> None:
    before = recorded(status="succeeded")
    calls = [recorded(status="failed"), recorded(status="succeeded"), recorded(status="pending")]
    assert chosen(calls, before) == before
    assert chosen(calls, None) == calls[0]
