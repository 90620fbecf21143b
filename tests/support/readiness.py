"""What /readyz says."""

from __future__ import annotations

from tests.conftest import Api


async def has_wrong(api: Api, wanted: dict[str, str]) -> bool:
    """Whether these parts and no others are not well."""
    answer = await api.http.get("/readyz")
    found = {name: verdict for name, verdict in answer.json()["parts"].items() if verdict != "ok"}
    assert answer.status_code == (503 if found else 200)
    return found == wanted
