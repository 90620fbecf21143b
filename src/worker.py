"""`ecotrips worker`: runs the sweeps, on any number of hosts."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

from src import orphans
from src.adapters.telemetry import logs
from src.composition import Composed, compose
from src.database.background import Outage, supervised
from src.database.refresher import Refresher
from src.domain.context import SERVICE, Context
from src.domain.errors import DomainError, Unavailable
from src.domain.invoices import render_due
from src.domain.messaging import send_due
from src.domain.payments import finish_due
from src.domain.payouts import expire_due, pay_due
from src.domain.privacy_erasure import purge_due
from src.domain.refunds import settle_due
from src.domain.sweeps import Sweep
from src.ports.sweeps import Slots
from src.settings import Settings

log = logging.getLogger(__name__)

OFTEN, SOON_AGAIN, MINUTE, HOUR = 5.0, 10.0, 60.0, 3600.0
# All in seconds: the delay of a notified sweep (one turn for a burst), the longest time between claims of a slot, the
# longest pause while the database is away, and the time that running batches get at a stop; cut-off work is resumed
# when its lease has expired.
SOON = 0.25
MAX_PAUSE = 15.0
MAX_ABSENCE = 30.0
GRACE = 20.0
BATCHES_IN_A_TURN = 1000


def sweeps(composed: Composed) -> list[Sweep]:
    """Every sweep with its period in seconds."""
    c = composed

    async def expiry(context: Context) -> int:
        return len(await expire_due(context, c.escrows, c.audit))

    async def payout(context: Context) -> int:
        return len(await pay_due(context, c.payouts, c.stripe, c.audit))

    return [
        Sweep("expiry", OFTEN, expiry),
        Sweep("escrow_refunds", OFTEN, c.escrows.request_refunds),
        Sweep("payouts", OFTEN, payout),
        Sweep("exceptions", MINUTE, c.exceptions.reopen_stalled),
        Sweep("idempotency", HOUR, c.idempotency_keys.purge),
        Sweep("limits", HOUR, c.callers.purge_tokens),
        Sweep("messages", OFTEN, lambda context: send_due(context, c.messages, c.senders)),
        Sweep("payments", SOON_AGAIN, lambda context: finish_due(context, c.payments, c.stripe)),
        Sweep("refunds", SOON_AGAIN, lambda context: settle_due(context, c.refunds, c.stripe)),
        Sweep("webhooks", SOON_AGAIN, c.webhooks.retry_due),
        Sweep("ledger", HOUR, c.ledger.seal),
        Sweep("invoices", MINUTE, lambda context: render_due(context, c.invoices, c.documents, c.storage)),
        Sweep("purges", MINUTE, lambda context: purge_due(context, c.privacy_erasures, c.storage)),
        Sweep("inventory", HOUR, c.hotel_answers.purge),
        Sweep("retention", HOUR, c.privacy_erasures.sweep_retention),
        Sweep("deadlines", HOUR, c.privacy_requests.remind),
    ]


class Worker:
    """Runs sweeps in turns. `report` gets one line for every turn that handled something or failed."""

    def __init__(self, given: Sequence[Sweep], slots: Slots, report: Callable[[str], None]) -> None:
        self._sweeps = given
        self._slots = slots
        self._report = report
        self._handled: Counter[str] = Counter()
        self._failures = 0
        self._waiting: set[str] = set()
        self._stopping = asyncio.Event()
        self._woken = {sweep.name: asyncio.Event() for sweep in given}

    @property
    def summary(self) -> str:
        """What all turns so far handled, by sweep, and how many of them failed."""
        counts = "".join(f" {name}={handled}" for name, handled in self._handled.items() if handled)
        return f"handled={self._handled.total()} failed={self._failures}{counts}"

    def stop(self) -> None:
        """Begin no further batch; run() returns when running batches have ended."""
        self._stopping.set()
        for event in self._woken.values():
            event.set()

    async def wake(self, name: str) -> None:
        """Begin the sweep soon, before its period ends."""
        self._woken[name].set()

    async def run(self) -> None:
        """Run all sweeps until stop()."""
        following = [supervised(f"sweep {sweep.name}", partial(self._follow, sweep)) for sweep in self._sweeps]
        await self._stopping.wait()
        _, late = await asyncio.wait(following, timeout=GRACE)
        for task in late:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    async def run_once(self) -> bool:
        """One turn of every sweep, also of those whose slot is taken; False when one failed."""
        verdicts = []
        for sweep in self._sweeps:
            context = _new_context()
            await self._slots.claim(context, sweep.name, sweep.every)
            verdicts.append(await self._turn(sweep, context))
        return all(verdicts)

    async def _follow(self, sweep: Sweep, outage: Outage) -> None:
        woken, absence = False, 0.0
        while not self._stopping.is_set():
            context = _new_context()
            try:
                if await self._slots.claim(context, sweep.name, SOON if woken else sweep.every):
                    await self._turn(sweep, context)
                absence = 0.0
                self._waiting.discard(sweep.name)
            except Unavailable:
                absence = min(MAX_ABSENCE, absence * 2 or 1.0) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
                if not self._waiting:
                    log.warning("sweeps wait for the database")
                self._waiting.add(sweep.name)
            except Exception:
                absence = MAX_ABSENCE
                log.exception("sweep %s failed", sweep.name, extra={"request_id": context.request_id})
            outage.over()
            woken = await self._pause(sweep, absence)

    async def _pause(self, sweep: Sweep, absence: float) -> bool:
        """Wait for the next turn; True after a notification."""
        event = self._woken[sweep.name]
        if absence:
            await _wait(self._stopping, absence)
        elif not await _wait(event, min(sweep.every, MAX_PAUSE)):
            return False
        event.clear()
        # A turn that began before the notification may have looked too early. In the next short period it did not.
        await _wait(self._stopping, 1.1 * SOON)
        return True

    async def _turn(self, sweep: Sweep, context: Context) -> bool:
        began, handled = time.monotonic(), 0
        line = f"SWEEP {sweep.name} requestId={context.request_id}"
        try:
            for _ in range(BATCHES_IN_A_TURN):
                batch = await sweep.run(context)
                handled += batch
                self._handled[sweep.name] += batch
                if not batch or self._stopping.is_set():
                    break
        except Exception as error:
            self._failures += 1
            failures = await self._slots.fail(context, sweep.name, type(error).__name__)
            self._report(f"{line} failed={type(error).__name__} failures={failures} handled={handled}")
            if not isinstance(error, DomainError):
                log.exception("sweep %s failed", sweep.name, extra={"request_id": context.request_id})
            return False
        await self._slots.finish(context, sweep.name, handled)
        if handled:
            self._report(f"{line} handled={handled} seconds={time.monotonic() - began:.2f}")
        return True


def main(settings: Settings, *, once: bool = False, parent: int | None = None) -> int:
    """Work until SIGTERM or SIGINT, or with `once` one turn of everything; returns the exit status.

    `parent` is the process that this one must not outlive.
    """
    logs.configure(settings.log_level)
    return asyncio.run(_main(settings, once=once, parent=parent))


async def _main(settings: Settings, *, once: bool, parent: int | None) -> int:
    composed = compose(settings)
    given = sweeps(composed)
    worker = Worker(given, composed.slots, partial(print, flush=True))
    try:
        if once:
            well = await worker.run_once()
            print(f"worker done: {worker.summary}", flush=True)
            return 0 if well else 1
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, worker.stop)
        for sweep in given:
            wake = Refresher(f"waking {sweep.name}", partial(worker.wake, sweep.name))
            composed.notifications.add(sweep.channel, wake)
        await composed.notifications.start()
        await composed.observer.start(composed.service_levels)
        if parent:
            orphans.stop_with(parent)
        print(f"worker started: {', '.join(sweep.name for sweep in given)}", flush=True)
        await worker.run()
        print(f"worker stopped: {worker.summary}", flush=True)
        return 0
    finally:
        await composed.close()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within the time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _new_context() -> Context:
    return Context(SERVICE, f"worker-{uuid4()}")
