"""Reads of many share connections, and still everybody gets their own answer, whoever fails, leaves or takes long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from src.database import pipeline as module
from src.database import pipelined
from src.database.pipeline import LAST_RUNS, MAX_IN_FLIGHT, MAX_TRIAL_SECONDS, QUICK, Pipeline
from src.database.pipelined import MAX_STATEMENTS, Answer, Pipelined, Row
from tests.conftest import OPS_USER, Api
from tests.support.races import until

WHO = "select set_config('test.who', $1, true), (100 / $2::int)::text, pg_backend_pid()"
BEFORE = "select coalesce(current_setting('test.who', true), ''), $1::text"
SLEEP = "select pg_sleep($1::float8)"


@pytest.fixture(params=["own_database", "tls_database"])
def database(request: pytest.FixtureRequest) -> str:
    dsn: str = request.getfixturevalue(request.param)
    return dsn


@pytest.fixture
async def pipeline(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipeline]:
    """Takes every statement for a quick one, however busy the machine is."""
    monkeypatch.setattr(module, "QUICK", 60)
    pipeline = Pipeline(database)
    yield pipeline
    pipeline.close()


async def answered(pipeline: Pipeline, statement: str, values: Sequence[object]) -> Row | None:
    answer = pipeline.ask(statement, values)
    return None if answer is None else await answer


async def sent(pipeline: Pipeline, statement: str, *values: object) -> Row:
    """The row of a statement, once there is a connection for it."""
    found: list[Row] = []

    async def asked() -> bool:
        row = await answered(pipeline, statement, values)
        found.extend([] if row is None else [row])
        return bool(found)

    await until(asked)
    return found[0]


async def test_every_caller_gets_the_own_answer_while_others_fail_and_leave(pipeline: Pipeline) -> None:
    chance = random.Random(7)
    pids = {(await sent(pipeline, WHO, "first", 1))[2]}
    done = 0

    async def caller(name: str) -> None:
        nonlocal done
        for number in range(20):
            who, divisor = f"{name}-{number}-é", chance.choice([0, *range(1, 20)])
            if divisor == 0:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await answered(pipeline, WHO, [who, divisor])
                continue
            row = await answered(pipeline, WHO, [who, divisor])
            assert row is not None
            assert row[:2] == [who.encode(), str(100 // divisor).encode()]
            assert await answered(pipeline, BEFORE, [who]) == [b"", who.encode()]
            pids.add(row[2])
            done += 1

    callers = [asyncio.create_task(caller(str(number))) for number in range(64)]
    for task in chance.sample(callers, 20):
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [result for result in results if result is not None and not isinstance(result, asyncio.CancelledError)] == []
    assert done > 44 * 15
    assert len(pids) == 1
    assert pipeline.waiting == 0


async def test_only_what_proved_to_be_quick_is_sent(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    await sent(pipeline, BEFORE, "a")
    monkeypatch.setattr(module, "QUICK", QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is None
    pipeline.observe(WHO, QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is None
    pipeline.observe(WHO, QUICK / 2)
    assert await answered(pipeline, WHO, ["a", 1]) is not None
    for _ in range(LAST_RUNS):
        pipeline.observe(SLEEP, 0)
    assert await answered(pipeline, SLEEP, ["0.02"]) is not None
    assert await answered(pipeline, SLEEP, ["0.02"]) is not None
    while await answered(pipeline, SLEEP, ["0.02"]) is not None:
        pass
    for _ in range(LAST_RUNS):
        pipeline.observe(SLEEP, 0)
    assert await answered(pipeline, SLEEP, ["0"]) is not None


async def test_a_quick_statement_stays_so_however_long_it_takes_elsewhere(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(pipeline, BEFORE, "a")
    monkeypatch.setattr(module, "QUICK", QUICK)
    pipeline.observe(WHO, 0)
    for _ in range(LAST_RUNS):
        pipeline.observe_pooled(WHO, 60)
    assert await answered(pipeline, WHO, ["a", 1]) is not None


async def test_what_others_hold_up_elsewhere_is_tried(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    await sent(pipeline, BEFORE, "a")
    monkeypatch.setattr(module, "QUICK", QUICK)
    pipeline.observe_pooled(WHO, MAX_TRIAL_SECONDS)
    assert await answered(pipeline, WHO, ["a", 1]) is None
    pipeline.observe_pooled(WHO, 3 * QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is not None
    for _ in range(10):
        pipeline.observe(WHO, 1.6 * QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is None
    # What was slow here is only tried again when it is quick elsewhere, on average.
    pipeline.observe_pooled(WHO, 0.9 * QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is None
    for _ in range(LAST_RUNS):
        pipeline.observe_pooled(WHO, 0.5 * QUICK)
    assert await answered(pipeline, WHO, ["a", 1]) is not None


async def test_nobody_waits_long_behind_a_slow_one(pipeline: Pipeline, admin: asyncpg.Connection) -> None:
    await admin.execute("create table held (id int)")
    await admin.execute("begin")
    await admin.execute("lock held")
    statement = "select count(*) from held"
    assert await sent(pipeline, BEFORE, "a") == [b"", b"a"]
    held = asyncio.create_task(answered(pipeline, statement, []))
    await asyncio.sleep(0)
    behind = asyncio.create_task(answered(pipeline, BEFORE, ["b"]))
    assert await behind is None
    assert await answered(pipeline, BEFORE, ["c"]) is None
    assert not held.done()
    await admin.execute("rollback")
    assert await held == [b"0"]
    assert await answered(pipeline, BEFORE, ["d"]) == [b"", b"d"]


async def test_a_server_that_answers_no_more_is_left(
    pipeline: Pipeline, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await sent(pipeline, "select pg_backend_pid()")
    monkeypatch.setattr(pipelined, "LOST", 0.1)
    for statement in ("create table held (id int)", "begin", "lock held"):
        await admin.execute(statement)
    assert await answered(pipeline, "select count(*) from held", []) is None
    assert await sent(pipeline, "select pg_backend_pid()") != pid
    await admin.execute("rollback")


async def test_no_more_are_sent_than_can_wait(pipeline: Pipeline) -> None:
    await sent(pipeline, BEFORE, "a")
    rows = await asyncio.gather(*(answered(pipeline, BEFORE, [str(number)]) for number in range(MAX_IN_FLIGHT + 10)))
    assert [row is not None for row in rows] == [number < MAX_IN_FLIGHT for number in range(MAX_IN_FLIGHT + 10)]


async def test_what_a_lost_connection_owes_is_asked_elsewhere(pipeline: Pipeline, admin: asyncpg.Connection) -> None:
    pid = (await sent(pipeline, WHO, "a", 1))[2] or b""
    asked = [asyncio.create_task(answered(pipeline, SLEEP, ["60"])) for _ in range(2)]
    await asyncio.sleep(0)
    await admin.fetchval("select pg_terminate_backend($1)", int(pid))
    assert await asyncio.gather(*asked) == [None, None]
    assert (await sent(pipeline, WHO, "b", 1))[2] != pid


async def test_an_unreachable_server_is_not_asked_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    async def refused(dsn: str, **_options: object) -> None:
        tries.append(dsn)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", refused)
    pipeline = Pipeline("postgresql://nowhere")
    pipeline.observe(BEFORE, 0)
    for _ in range(5):
        assert await answered(pipeline, BEFORE, ["a"]) is None
        await asyncio.sleep(0)
    assert tries == ["postgresql://nowhere/"]


async def test_a_changed_schema_below_a_prepared_statement_is_asked_elsewhere_once(
    pipeline: Pipeline, admin: asyncpg.Connection
) -> None:
    await admin.execute("create table changing as select 1 as a")
    assert await sent(pipeline, "select * from changing") == [b"1"]
    await admin.execute("alter table changing add column b text default 'x'")
    assert await answered(pipeline, "select * from changing", []) is None
    assert await answered(pipeline, "select * from changing", []) == [b"1", b"x"]


async def test_a_statement_that_cannot_be_prepared_says_why_each_time(pipeline: Pipeline) -> None:
    await sent(pipeline, BEFORE, "a")
    for _ in range(2):
        with pytest.raises(asyncpg.UndefinedTableError, match='relation "nowhere" does not exist'):
            await answered(pipeline, "select * from nowhere", [])
    assert await answered(pipeline, BEFORE, ["a"]) == [b"", b"a"]


async def test_the_server_keeps_only_so_many_statements(pipeline: Pipeline) -> None:
    statements = [f"select '{number}'" for number in range(MAX_STATEMENTS + 10)]
    for _ in range(2):
        for statement in statements:
            assert await sent(pipeline, statement) == [statement[8:-1].encode()]
    kept = await sent(pipeline, "select count(*) from pg_prepared_statements where not from_sql")
    assert kept == [str(MAX_STATEMENTS).encode()]


async def test_long_answers_come_whole_and_in_their_order(pipeline: Pipeline) -> None:
    statement = "select repeat($1, $2::int)"
    await sent(pipeline, statement, "", 0)
    lengths = [3_000_000, 1, 700_000, 0, 70_000]
    rows = await asyncio.gather(*(answered(pipeline, statement, [chr(97 + n), size]) for n, size in enumerate(lengths)))
    assert rows == [[chr(97 + n).encode() * size] for n, size in enumerate(lengths)]


async def test_answers_cut_anywhere_are_put_together(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Pipelined.data_received

    def bit_by_bit(self: Pipelined, data: bytes) -> None:
        for position in range(len(data)):
            whole(self, data[position : position + 1])

    monkeypatch.setattr(Pipelined, "data_received", bit_by_bit)
    await sent(pipeline, WHO, "a", 1)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await answered(pipeline, WHO, ["b", 0])
    row = await answered(pipeline, WHO, ["c", 3])
    assert row is not None
    assert row[:2] == [b"c", b"33"]


async def test_values_are_what_has_the_same_words_in_both_languages(pipeline: Pipeline) -> None:
    statement = "select $1::text, $2::int8, $3::text, $4::date, $5::uuid, $6::timestamptz at time zone 'utc', $7::bool"
    timestamp = datetime(2026, 11, 24, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    others = date(2026, 11, 24), UUID(OPS_USER), timestamp, True
    assert await sent(pipeline, statement, "é€", -5, None, *others) == [
        "é€".encode(),
        b"-5",
        None,
        b"2026-11-24",
        OPS_USER.encode(),
        b"2026-11-24 07:30:00",
        b"t",
    ]
    assert await answered(pipeline, statement, ["\ud800", 1, None, *others]) is None
    assert await answered(pipeline, statement, [["a"], 1, None, *others]) is None
    assert await answered(pipeline, statement, ["a", 1, None, *others]) is not None


async def test_a_read_answers_the_same_whichever_way_it_is_asked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[bool] = []
    ask = Pipeline.ask

    def tried(self: Pipeline, statement: str, values: list[object]) -> Answer | None:
        answer = ask(self, statement, values)
        ways.append(answer is not None)
        return answer

    monkeypatch.setattr(Pipeline, "ask", tried)
    monkeypatch.setattr(module, "QUICK", 60)
    for path, headers, status in (
        ("ops.v_bookings?select=id,status&order=id&limit=2", api.ops, 200),
        ("ops.v_bookings?select=id,status", api.user(), 403),
        ("ops.v_bookings?id=eq.1", api.ops, 400),
        ("booking.items?price_cents=eq.99999999999999999999", api.ops, 400),
        ("booking.itineraries?select=id,items(id)&order=id&limit=1", {**api.ops, "prefer": "count=exact"}, 206),
        ("booking.itineraries?limit=0", {**api.user(), "accept": "application/vnd.pgrst.object+json"}, 406),
        ("booking.itineraries?select=id", {**api.ops, "accept": "text/csv"}, 200),
    ):
        answers: dict[bool, tuple[int, str | None, bytes]] = {}

        async def asked(path: str = path, headers: dict[str, str] = headers, answers: Any = answers) -> bool:
            answer = await api.http.get(f"/rest/v1/{path}", headers=headers)
            seen = answer.status_code, answer.headers.get("content-range"), answer.content
            assert answers.setdefault(ways[-1], seen) == seen
            return ways[-1]

        await until(asked)
        with monkeypatch.context() as full:
            full.setattr(module, "MAX_IN_FLIGHT", 0)
            await asked()
        assert answers[True] == answers[False], path
        assert answers[True][0] == status
