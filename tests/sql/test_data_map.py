"""The data map against the catalog: a column that nobody classified stops every plan, and this suite."""

from __future__ import annotations

import hashlib
import hmac
import json

import asyncpg
import pytest

from tests.conftest import TRAVELLER
from tests.support.persons import SECRET


async def faults(admin: asyncpg.Connection) -> list[str]:
    return [row["fault"] for row in await admin.fetch("select fault from privacy.map_faults")]


async def test_every_column_of_every_table_is_classified(admin: asyncpg.Connection) -> None:
    """A new column is one word in sql/views/privacy_data_map.sql (docs/develop.md, "How to classify a column")."""
    assert await faults(admin) == []


async def test_a_column_that_nobody_classified_is_a_fault_and_nothing_is_planned(admin: asyncpg.Connection) -> None:
    target = json.loads(await admin.fetchval("select create_privacy_request('erasure', $1)", TRAVELLER))["request_id"]
    await admin.execute("select review_privacy_request($1, 'approve')", target)
    await admin.execute("alter table core.profiles add column passport text")
    assert await faults(admin) == ["core.profiles.passport is not classified"]
    with pytest.raises(asyncpg.PostgresError, match=r"core\.profiles\.passport is not classified"):
        await admin.execute("select plan_privacy_erasure($1)", target)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("alter table permits.requests drop column note", "permits.requests.note is classified and does not exist"),
        (
            "alter table permits.requests alter user_id set not null",
            "permits.requests.user_id is to be erased by null and cannot be",
        ),
        (
            "update privacy.data_map set erase_action = 'redact' where column_name = 'pax_count'",
            "permits.requests.pax_count is to be erased by redact and cannot be",
        ),
        (
            "delete from privacy.links where table_name = 'profiles'",
            "core.profiles is delete and has no way to the person",
        ),
        (
            "create table core.pets (owner uuid references core.profiles)",
            "core.profiles cannot be deleted while rows of core.pets refer to it",
        ),
    ],
)
async def test_what_could_not_be_carried_out_is_a_fault(admin: asyncpg.Connection, change: str, fault: str) -> None:
    await admin.execute(change)
    assert fault in await faults(admin)


async def test_what_is_exported_is_what_is_erased_and_what_is_kept(admin: asyncpg.Connection) -> None:
    odd = await admin.fetch(
        "select table_schema, table_name, column_name from privacy.data_map"
        " where category not in ('technical', 'none') and exported = (erase_action = 'none')"
        " or erase_action = 'keep' and legal_basis is null and category not in ('technical', 'travel', 'message')"
    )
    assert [tuple(row) for row in odd] == []


@pytest.mark.parametrize("key", [SECRET, "k" * 64, "é" * 200])
async def test_the_digests_are_those_of_hmac_sha_256(admin: asyncpg.Connection, key: str) -> None:
    expected = hmac.new(key.encode(), "tëxt".encode(), hashlib.sha256).digest()
    assert await admin.fetchval("select privacy.hmac($1, 'tëxt')", key) == expected


async def test_people_are_recognised_however_they_are_written(admin: asyncpg.Connection) -> None:
    text = "Uwase, AMINA (amina@x.example.) calls from 0788 123 456"
    found = {tuple(row) for row in await admin.fetch("select kind, value from privacy.identifiers_in($1)", text)}
    assert {("name", "amina uwase"), ("email", "amina@x.example"), ("phone", "788123456")} <= found
    assert await admin.fetchval("select privacy.phone_of('+250 (788) 123-456')") == "788123456"


async def test_messages_go_after_thirty_days_and_archives_with_their_link(admin: asyncpg.Connection) -> None:
    await admin.execute(
        "insert into wa.messages (direction, mode, type, msisdn, body, status, created_at)"
        " select 'out', 'mock', 'text', '250788123456', 'hello', 'sent', now() - n * interval '1 day'"
        " from generate_series(28, 33) n"
    )
    await admin.execute(
        "insert into privacy.requests (kind, subject_user_id, status, export_path, export_expires_at)"
        " values ('export', $1, 'completed', 'p', now() - interval '1 minute')",
        TRAVELLER,
    )
    assert await admin.fetchval("select sweep_privacy_retention(2)") == 3
    assert await admin.fetchval("select sweep_privacy_retention()") == 2
    assert await admin.fetchval("select sweep_privacy_retention()") == 0
    assert await admin.fetchval("select count(*) from wa.messages") == 2
    assert await admin.fetchval("select count(*) from privacy.purges where bucket = 'privacy_exports'") == 1
