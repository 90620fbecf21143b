"""A JWT secret is changed without a moment in which a caller is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from src.adapters.files.links import SignedLinks
from src.domain.storage import LinkRefused, ObjectName, StoredObject
from src.edge.errors import SettingsError
from src.settings import from_environment
from tests.conftest import Api, serving, token
from tests.support.postgres import JWT_SECRET, settings

NEXT_SECRET = "the-secret-that-follows-and-is-long-enough-for-hs256"
FIRST_KEY = token("service_role")
NEXT_KEY = jwt.encode({"role": "service_role"}, NEXT_SECRET, algorithm="HS256")
FORGED_KEY = jwt.encode({"role": "service_role"}, "x" * 40, algorithm="HS256")


async def statuses(api: Api) -> list[int]:
    headers = [{"apikey": key} for key in (FIRST_KEY, NEXT_KEY, FORGED_KEY)]
    return [(await api.get("ops-bookings", each)).status_code for each in headers]


async def test_both_keys_work_while_the_secret_is_changed(database: str) -> None:
    async with serving(database) as before:
        assert await statuses(before) == [200, 401, 401]
    async with serving(database, jwt_secret=NEXT_SECRET, jwt_previous_secrets=(JWT_SECRET,)) as during:
        assert await statuses(during) == [200, 200, 401]
    async with serving(database, jwt_secret=NEXT_SECRET) as after:
        assert await statuses(after) == [401, 200, 401]


def test_links_of_the_previous_secret_open_until_it_is_removed() -> None:
    first, both, last = (
        settings("postgresql:///none", **changes).link_keys
        for changes in (
            {},
            {"jwt_secret": NEXT_SECRET, "jwt_previous_secrets": (JWT_SECRET,)},
            {"jwt_secret": NEXT_SECRET},
        )
    )
    stored = StoredObject(ObjectName("invoices", "one.pdf"), 1, datetime.now(UTC), "etag")
    link = SignedLinks(first).sign(stored, timedelta(hours=1)).path.partition("?token=")[2]
    assert SignedLinks(both).opened(stored.name, link)
    with pytest.raises(LinkRefused):
        SignedLinks(last).opened(stored.name, link)


def test_previous_secrets_are_a_list_in_the_environment() -> None:
    environment = {"JWT_SECRET": NEXT_SECRET, "DATABASE_URL": "postgresql:///none"}
    given = from_environment({**environment, "JWT_PREVIOUS_SECRETS": f"{JWT_SECRET}, {'y' * 40}"})
    assert given.jwt_secrets == (NEXT_SECRET, JWT_SECRET, "y" * 40)
    with pytest.raises(SettingsError, match="DATABASE_POOLER must be transaction, or not set; what is set has 7"):
        from_environment({**environment, "DATABASE_POOLER": "session"})
