"""The worker: turns, notifications, failures, stops."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import asyncpg
import pytest

from src import worker as worker_module
from src.adapters.postgres.sweeps import PostgresSlots
from src.composition import Composed, compose
from src.database.refresher import Refresher
from src.domain.context import Context
from src.domain.errors import ProviderFailed, Unavailable
from src.domain.sweeps import Sweep
from src.worker import Worker
from tests.support.postgres import JWT_SECRET, settings
from tests.support.processes import TIMEOUT

AGE = 10.0**9


@asynccontextmanager
async def composed_on(database: str) -> AsyncIterator[Composed]:
    composed = compose(settings(database))
    try:
        yield composed
    finally:
        await composed.notifications.stop()
        await composed.database.close()


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        await asyncio.wait_for(task, TIMEOUT)


def handles(
    counts: list[int], seen: Callable[[], None] = lambda: None
) -> Callable[[Context], Coroutine[None, None, int]]:
    """A sweep's run that handles as many rows as `counts` says, then none."""
    left = iter(counts)

    async def run(_context: Context) -> int:
        seen()
        return next(left, 0)

    return run


async def test_a_turn_goes_on_until_nothing_is_left_and_says_how_much_it_was(database: str) -> None:
    lines: list[str] = []
    async with composed_on(database) as composed:
        busy, idle = Sweep("busy", AGE, handles([5, 5, 2])), Sweep("idle", AGE, handles([]))
        worker = Worker([busy, idle], PostgresSlots(composed.database), lines.append)
        assert await worker.run_once()
    assert len(lines) == 1
    assert lines[0].startswith("SWEEP busy requestId=worker-")
    assert " handled=12 " in lines[0]
    assert worker.summary == "handled=12 failed=0 busy=12"


async def test_many_workers_take_one_turn_in_a_period(database: str, admin: asyncpg.Connection) -> None:
    turns: list[int] = []
    begun = asyncio.Event()

    def seen() -> None:
        turns.append(1)
        begun.set()

    async with composed_on(database) as composed:
        slots = PostgresSlots(composed.database)
        workers = [Worker([Sweep("shared", AGE, handles([], seen))], slots, print) for _ in range(3)]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*tasks)
    assert len(turns) == 1
    assert await admin.fetchval("select finished_at is not null from ops.sweeps where name = 'shared'")


async def test_two_hosts_take_every_slot_once_between_them(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "create table public.slots (slot timestamptz, request_id text);"
        "create function public.note() returns trigger language plpgsql security definer as $$ begin"
        "  insert into public.slots values (new.slot, new.request_id); return null; end $$;"
        "create trigger note after insert or update of slot on ops.sweeps for each row execute function public.note()"
    )
    turns: list[tuple[str, str]] = []
    both = asyncio.Event()

    def on(host: str) -> Callable[[Context], Coroutine[None, None, int]]:
        async def run(context: Context) -> int:
            turns.append((context.request_id, host))
            if len(turns) >= 10 and len({host for _, host in turns}) == 2:
                both.set()
            return 0

        return run

    async with composed_on(database) as one, composed_on(database) as two:
        workers = [
            Worker([Sweep("shared", 0.1, on(host))], PostgresSlots(composed.database), print)
            for host, composed in (("one", one), ("two", two))
        ]
        async with running(workers[0]), running(workers[1]):
            await asyncio.wait_for(both.wait(), TIMEOUT)
    slots = await admin.fetch("select slot, request_id from public.slots order by request_id")
    assert len({row["slot"] for row in slots}) == len(slots)
    assert [row["request_id"] for row in slots] == sorted(request_id for request_id, _ in turns)


async def test_a_notification_begins_a_sweep_long_before_its_period_ends(
    database: str, admin: asyncpg.Connection
) -> None:
    turns: asyncio.Queue[str] = asyncio.Queue()

    async def run(_context: Context) -> int:
        turns.put_nowait("turn")
        return 0

    async with composed_on(database) as composed:
        sweep = Sweep("payouts", AGE, run)
        worker = Worker([sweep], PostgresSlots(composed.database), print)
        composed.notifications.add(sweep.channel, Refresher(sweep.name, partial(worker.wake, sweep.name)))
        async with running(worker):
            await asyncio.wait_for(turns.get(), TIMEOUT)
            await composed.notifications.start()
            # Connecting counts as a notification, because some may have been missed.
            await asyncio.wait_for(turns.get(), TIMEOUT)
            await admin.execute("select pg_notify('ecotrips_payouts', '')")
            await asyncio.wait_for(turns.get(), TIMEOUT)


async def test_a_failing_sweep_is_counted_and_neither_quotes_its_error_nor_ends_the_others(
    database: str, admin: asyncpg.Connection
) -> None:
    lines: list[str] = []

    async def failing(_context: Context) -> int:
        message = "the card of Amina Uwase"
        raise ProviderFailed(message)

    async with composed_on(database) as composed:
        broken, sound = Sweep("broken", AGE, failing), Sweep("sound", AGE, handles([1]))
        worker = Worker([broken, sound], PostgresSlots(composed.database), lines.append)
        assert not await worker.run_once()
    assert "failed=ProviderFailed failures=1" in lines[0]
    assert "Amina" not in "".join(lines)
    assert lines[1].startswith("SWEEP sound ")
    assert worker.summary == "handled=1 failed=1 sound=1"
    assert await admin.fetchval("select last_error from ops.sweeps where name = 'broken'") == "ProviderFailed"


async def test_a_stop_waits_for_the_running_batch_and_begins_no_other(database: str) -> None:
    entered, release = asyncio.Event(), asyncio.Event()
    batches: list[int] = []

    async def slow(_context: Context) -> int:
        entered.set()
        await release.wait()
        batches.append(1)
        return 1

    async with composed_on(database) as composed:
        worker = Worker([Sweep("slow", AGE, slow)], PostgresSlots(composed.database), print)
        async with running(worker) as task:
            await asyncio.wait_for(entered.wait(), TIMEOUT)
            worker.stop()
            await asyncio.sleep(0)
            assert not task.done()
            release.set()
    assert batches == [1]


@contextmanager
def worker_process(database: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"DATABASE_URL": database, "JWT_SECRET": JWT_SECRET, "PATH": ""}
    command = [sys.executable, "-m", "src.cli", "worker", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_sigterm_stops_the_worker_cleanly(database: str) -> None:
    with worker_process(database) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("worker started: ")
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines()[-1].startswith("worker stopped: handled=")


async def test_the_worker_of_a_parent_that_is_gone_stops(database: str) -> None:
    with worker_process(database, "--parent", "1") as process:
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "worker stopped: handled=" in output


async def test_once_does_what_is_due_and_ends(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "insert into ops.idempotency_keys (caller, key, request_hash, request_id, locked_until, created_at)"
        " values ('someone', 'old', '', 'r', now(), now() - interval '2 days')"
    )
    with worker_process(database, "--once") as process:
        output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("SWEEP idempotency requestId=worker-")
    assert output.splitlines()[-1] == "worker done: handled=1 failed=0 idempotency=1"


class AwaySlots:
    """Slots of a database that is away."""

    async def claim(self, *_arguments: object) -> bool:
        message = "away"
        raise Unavailable(message)

    async def finish(self, *_arguments: object) -> None:
        raise AssertionError

    async def fail(self, *_arguments: object) -> int:
        raise AssertionError


async def test_sweeps_that_wait_for_the_database_are_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAX_ABSENCE", 0.01)
    worker = Worker([Sweep(name, AGE, handles([])) for name in ("one", "two", "three")], AwaySlots(), print)
    async with running(worker):
        await asyncio.sleep(0.2)
        worker.stop()
    assert caplog.messages == ["sweeps wait for the database"]


async def test_a_database_that_is_away_is_one_clear_line(database: str) -> None:
    with worker_process(database.replace("/test_", "/gone_"), "--once") as process:
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    *logged, said = errors.splitlines()
    assert said.startswith("ecotrips: ")
    # What the database says to a refused login is logged once.
    assert len(logged) <= 1
    assert "Traceback" not in errors
