"""Runbook "Catalog search index": both curls, in their order."""

from __future__ import annotations

import pytest

from tests.conftest import Api


async def test_the_index_is_filled_and_searched(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    filled = await api.http.post(
        "/functions/v1/search-index-populate", headers={**api.service, "Content-Type": "application/json"}
    )
    assert filled.status_code == 200
    assert filled.json() == {
        "ok": True,
        "request_id": filled.headers["x-request-id"],
        "requestId": filled.headers["x-request-id"],
        "seeded": 55,
        "source": "fixtures",
        "fallback": False,
    }
    found = await api.post("search-places", {"query": "kigali", "limit": 5})
    body = found.json()
    assert body["items"][0]["title"] == "Kigali"
    assert body["items"][0]["matches"][0] == {"field": "title", "terms": ["kigali"], "ranges": [[0, 6]]}
    assert (body["source"], body["fallback"]) == ("fixtures", True)
    lines = capfd.readouterr().out.splitlines()
    request_id = filled.headers["x-request-id"]
    audit = f"AUDIT search.populate requestId={request_id} actor=service-role seeded=55 source=fixtures fallback=False"
    assert audit in lines
    assert lines[-1].startswith("AUDIT search.places ")
    assert "kigali" not in lines[-1]
