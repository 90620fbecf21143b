"""What clients change in the store is on record, and the record tells of nobody."""

from __future__ import annotations

import hashlib
import json

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.races import rule_of

RECORD = "select record_storage_change($1, $2)"
OBJECT = f"travellers/{TRAVELLER}/visa.pdf"


async def test_a_change_is_recorded_by_its_bucket_and_a_digest_of_its_name(database: str) -> None:
    async with as_role(database, Role.SERVICE) as service:
        for action in ("put", "delete"):
            await service.execute(RECORD, action, OBJECT)
        events = await service.fetch(
            "select what, payload::text from audit.events where what like 'storage.%' order by id"
        )
    assert [event["what"] for event in events] == ["storage.put", "storage.delete"]
    digest = hashlib.sha256(OBJECT.encode()).hexdigest()
    for event in events:
        assert json.loads(event["payload"]) == {"bucket": "travellers", "object_sha256": digest}


@pytest.mark.parametrize(
    ("action", "name"),
    [("read", OBJECT), ("put", ""), ("put", "travellers"), ("put", "travellers/"), ("put", f"travellers/{'x' * 1100}")],
)
async def test_what_is_no_change_of_an_object_is_refused(admin: asyncpg.Connection, action: str, name: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(RECORD, action, name)
    assert rule_of(refused.value) == "input_valid"


@pytest.mark.parametrize("user", [TRAVELLER, OPS_USER])
async def test_only_the_service_records_changes(database: str, user: str) -> None:
    async with as_role(database, Role.USER, user) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(RECORD, "put", OBJECT)
