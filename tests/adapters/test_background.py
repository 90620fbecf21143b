"""Tasks beside the requests: they begin again whatever fails, say so once, and end when they are told to."""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path

import asyncpg
import pytest

from src.adapters.postgres.errors import TRANSLATED
from src.database import background
from src.database.background import MAX_PAUSE, Outage, stopped, supervised
from src.database.errors import DatabaseUnavailable
from src.domain.errors import Unavailable

SRC = Path(__file__).parents[2] / "src"
# Who makes a task by other means, and why it needs nobody to begin it again.
OTHERS = {
    "adapters/resilience/flights.py": "those who wait for it get what it raises",
    "database/pipeline.py": "it catches all, and the next read asks for it again",
    "database/apply.py": "it is awaited in the same block, which ends it whatever happens",
    "commands/progress.py": "it ends with the block that it is shown for, which awaits it",
    "http/docs.py": "those who wait for it get what it raises",
    "rest/asgi/application.py": "it ends with its request, which looks at it",
}
MAKES_TASKS = {"create_task", "ensure_future", "TaskGroup", "run_coroutine_threadsafe"}


async def test_work_begins_again_whatever_ended_it(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[BaseException] = [KeyError("x"), OSError(), asyncio.CancelledError(), KeyError("y"), OSError()]
    left, done = list(failures), asyncio.Event()

    async def work(outage: Outage) -> None:
        if left:
            raise left.pop()
        outage.over()
        done.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING):
        task = supervised("the work", work)
        await asyncio.wait_for(done.wait(), 30)
        await stopped(task)
    assert task.cancelled()
    assert caplog.messages == ["the work failed and is tried again"] * 3 + ["the work is well again"]
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {type(f) for f in failures}


async def test_a_database_that_is_away_is_one_line_without_a_place(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("the work")
    outage.failed(DatabaseUnavailable("away"))
    for failure in (ConnectionRefusedError(), asyncpg.CannotConnectNowError()):
        try:
            with TRANSLATED:
                raise failure
        except Unavailable as unavailable:
            outage.failed(unavailable)
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("WARNING", "the work waits for the database", None)
    ]


async def test_work_that_is_done_is_done() -> None:
    async def work(_outage: Outage) -> None:
        pass

    await asyncio.wait_for(supervised("done", work), 5)


async def test_a_pause_ends_when_its_task_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 60.0)
    failed = asyncio.Event()

    async def work(_outage: Outage) -> None:
        failed.set()
        raise OSError

    task = supervised("failing", work)
    await asyncio.wait_for(failed.wait(), 5)
    await asyncio.sleep(0)
    await asyncio.wait_for(stopped(task, None), 5)
    assert task.done()


def test_pauses_grow_to_their_bound_and_begin_anew_when_all_is_well() -> None:
    outage = Outage("something")
    pauses = [outage.failed(OSError()) for _ in range(12)]
    assert pauses[0] < 0.2
    assert pauses[:5] == sorted(pauses[:5])
    assert max(pauses) <= 1.25 * MAX_PAUSE
    assert min(pauses[8:]) >= 0.75 * MAX_PAUSE
    outage.over()
    assert outage.failed(OSError()) < 0.2


def test_every_task_of_the_service_is_supervised() -> None:
    found = set()
    for file in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in MAKES_TASKS:
                found.add(file.relative_to(SRC).as_posix())
    assert found - {"database/background.py"} == set(OTHERS)
