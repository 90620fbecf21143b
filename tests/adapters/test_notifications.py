"""What was learnt from notifications is trusted only while all of it is known to be new."""

from __future__ import annotations

import asyncio

import asyncpg

from src.adapters.postgres.notifications import Notifications
from tests.processes import PATIENCE
from tests.races import until


async def test_one_channels_news_do_not_hide_that_anothers_are_still_read(
    database: str, admin: asyncpg.Connection
) -> None:
    reading, read, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
    read.set()

    async def slow() -> None:
        reading.set()
        await read.wait()

    async def quick() -> None:
        heard.set()

    notifications = Notifications(database, {"slow": slow, "quick": quick})
    await notifications.start()
    await until(lambda: notifications.connected)
    for event in (reading, read, heard):
        event.clear()
    await admin.execute("notify slow")
    await asyncio.wait_for(reading.wait(), PATIENCE)
    await admin.execute("notify quick")
    await asyncio.wait_for(heard.wait(), PATIENCE)
    await asyncio.sleep(0)
    assert not notifications.connected
    read.set()
    await until(lambda: notifications.connected)
    await notifications.stop()
    assert not notifications.connected


async def test_news_that_could_not_be_read_are_not_taken_for_read(database: str, admin: asyncpg.Connection) -> None:
    broken, failed, heard = False, asyncio.Event(), asyncio.Event()

    async def failing() -> None:
        if broken:
            failed.set()
            raise OSError

    async def quick() -> None:
        heard.set()

    notifications = Notifications(database, {"failing": failing, "quick": quick})
    await notifications.start()
    await until(lambda: notifications.connected)
    broken = True
    await admin.execute("notify failing")
    await asyncio.wait_for(failed.wait(), PATIENCE)
    heard.clear()
    await admin.execute("notify quick")
    await asyncio.wait_for(heard.wait(), PATIENCE)
    await asyncio.sleep(0.05)
    assert not notifications.connected
    await notifications.stop()
