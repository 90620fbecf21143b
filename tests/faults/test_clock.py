"""The clock of a server, a worker or the database jumps an hour ahead and back: rules hold, nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg
import pytest
import time_machine

from src.commands.local import token
from src.settings import OFFLINE_SWITCHES
from tests.conftest import ANON_KEY, ITINERARY, TRAVELLER, serving
from tests.fakes.stripe import signed
from tests.support.cluster import server
from tests.support.escrows import met_escrows
from tests.support.postgres import JWT_SECRET, Server, make_template, settings
from tests.support.processes import command, environment
from tests.support.races import until

pytestmark = pytest.mark.heavy

SECRET = "whsec_clock"
FILES, NAME = "/storage/v1/object", f"travellers/{TRAVELLER}/visa.txt"
CHECKOUT = {"itinerary_id": ITINERARY, "amount_cents": 700, "currency": "USD"}
EVENT = {"id": "evt_1", "type": "customer.created", "created": 1, "data": {"object": {"id": "cus_1"}}}
AHEAD, BACK, RIGHT = "+1h", "-1h", "+0"


@pytest.fixture
def clock(tmp_path: Path) -> Callable[[str], None]:
    """Sets how far the clock of the processes started with faked() is from the database's."""

    def set_to(offset: str) -> None:
        (tmp_path / "clock").write_text(offset)

    return set_to


def faked(folder: Path) -> Mapping[str, str]:
    """The environment of a process whose clock obeys the fixture; its timers run on."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("*** no libfaketime here (apt-get install faketime): nothing was tested of clocks that jump")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


async def test_deadlines_keys_links_and_tokens_keep_their_rules_while_the_servers_clock_jumps(
    database: str, admin: asyncpg.Connection
) -> None:
    async with serving(database, stripe_webhook_secrets=(SECRET,)) as api:
        bearer = token(settings(database), "authenticated", TRAVELLER, timedelta(minutes=30))
        user = {"apikey": ANON_KEY, "authorization": f"Bearer {bearer}"}
        group = (await api.post("groups-create", {"name": "Trek"}, user)).json()
        soon = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
        terms = {"group_id": group["group_id"], "target_cents": 5000, "deadline": soon}
        escrow, late = [(await api.post("groups-create-escrow", terms, user)).json()["escrow_id"] for _ in range(2)]
        await admin.execute(
            "set session_replication_role = replica;"
            f"update \"group\".escrows set deadline = now() - interval '30 minutes' where id = '{UUID(late)}';"
            "reset session_replication_role"
        )
        await api.http.put(f"{FILES}/{NAME}", content=b"a visa", headers=api.service)
        signed_url = await api.http.post(f"{FILES}/sign/{NAME}", json={"expiresIn": 600}, headers=api.service)
        event = signed(EVENT, SECRET)
        statuses = []
        for jump in (0, 1, 0, -1, 0):
            with time_machine.travel(datetime.now(UTC) + timedelta(hours=jump)):
                gift = {"amount_cents": 100, "member_id": group["member_id"]}
                once = api.service | {"idempotency-key": "gift"}
                answers = [
                    await api.post("groups-contribute", {"escrow_id": escrow, **gift}, once),
                    await api.post("groups-contribute", {"escrow_id": late, **gift}, api.service),
                    await api.post("bff-checkout", CHECKOUT),
                    await api.post("groups-join", {"group_id": group["group_id"]}, user),
                    await api.http.get(f"/storage/v1{signed_url.json()['signedURL']}"),
                    await api.http.post("/functions/v1/stripe-webhook", **event),
                ]
                statuses.append([answer.status_code for answer in answers])
    # Deadlines and keys go by the database's clock, what is signed for a time by the server's own.
    right, ahead, back = [200, 409, 200, 200, 200, 200], [200, 409, 200, 401, 400, 400], [200, 409, 200, 200, 200, 400]
    assert statuses == [right, ahead, right, back, right]
    assert await admin.fetchval('select count(*) from "group".contributions') == 1
    assert await admin.fetchval("select count(*) from payment.payments where amount_cents = 700") == 1
    assert await admin.fetch("select * from fin.verify_ledger()") == []


async def test_a_worker_whose_clock_jumps_pays_every_escrow_out_once(
    database: str, admin: asyncpg.Connection, tmp_path: Path, clock: Callable[[str], None]
) -> None:
    clock(RIGHT)
    await admin.execute("select ops.set_flag('STRIPE_MOCK_MODE', '1')")
    given = {**OFFLINE_SWITCHES, "DATABASE_URL": database, "JWT_SECRET": JWT_SECRET, **faked(tmp_path)}
    with command(tmp_path, "worker", ready="worker started", env=environment(**given)):
        for number, now in enumerate((AHEAD, BACK, RIGHT), start=1):
            clock(now)
            await met_escrows(admin, 5)
            await until(
                lambda: admin.fetchval("select not exists (select from \"group\".escrows where status = 'met')")
            )
            paid = await admin.fetchval("select count(*) from audit.events where what = 'payout.succeeded'")
            assert paid == 5 * number
    assert await admin.fetchval("select count(*) from fin.entries where entry_type = 'payout_succeeded'") == 15
    assert await admin.fetch("select * from fin.verify_ledger()") == []


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[str], object]]]:
    """A database whose server's clock obeys, and what sets it."""
    with TemporaryDirectory(prefix="ecotrips-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # it is another user who looks into it
        clock = folder / "clock"
        clock.write_text(RIGHT)
        for variable, value in faked(folder).items():
            monkeypatch.setenv(variable, value)
        with server() as primary:
            monkeypatch.undo()
            yield primary.url(make_template(Server(primary.url("postgres")))), clock.write_text


async def test_the_databases_own_clock_jumps_and_nothing_is_lost_done_twice_or_held_up(
    tmp_path: Path, jumping: tuple[str, Callable[[str], object]]
) -> None:
    dsn, set_clock = jumping
    admin = await asyncpg.connect(dsn)
    given = {**OFFLINE_SWITCHES, "DATABASE_URL": dsn, "JWT_SECRET": JWT_SECRET}
    refunds = {"amount_cents": 100, "reason": "late"}
    await admin.execute("select ops.set_flag('STRIPE_MOCK_MODE', '1')")
    with command(tmp_path, "worker", ready="worker started", env=environment(**given)):
        async with serving(dsn) as api:
            for number, offset in enumerate((RIGHT, AHEAD, RIGHT, BACK, RIGHT), start=1):
                set_clock(offset)
                seen = await admin.fetchval("select clock_timestamp()")
                hours = {RIGHT: 0, AHEAD: 1, BACK: -1}[offset]
                assert abs(seen - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=5)
                paid = (await api.post("bff-checkout", {**CHECKOUT, "amount_cents": 1000 + number})).json()
                event = {
                    "type": "payment_intent.succeeded",
                    "data": {k: paid[k] for k in ("payment_id", "payment_intent")},
                }
                for _ in range(2):
                    assert (await api.post("stripe-webhook", event)).status_code == 200
                asked = {"payment_id": paid["payment_id"], **refunds}
                keyed = api.service | {"idempotency-key": f"refund-{number}"}
                for _ in range(2):
                    answer = await api.post("payments-refund", asked, keyed)
                    assert (answer.status_code, answer.json()["refunded_cents"]) == (200, 100)
                await met_escrows(admin, 3)
                # Slots and leases that were taken in the future do not hold up the work of the right time.
                await until(
                    lambda: admin.fetchval("select not exists (select from \"group\".escrows where status = 'met')")
                )
    count = "select count(*) from fin.entries where entry_type = $1"
    assert await admin.fetchval(count, "payout_succeeded") == 15
    assert await admin.fetchval(count, "refund_succeeded") == 5
    assert await admin.fetch("select * from fin.verify_ledger()") == []
    await admin.close()
