"""`ecotrips ledger …`: proves the books, and compares them with the provider's."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

from src.commands import local, operators, progress
from src.commands.arguments import Commands, group, number
from src.commands.wording import counted
from src.database.opened import connect
from src.domain.context import SERVICE, Context
from src.domain.ledger import Difference, reconcile
from src.edge.errors import SettingsError
from src.logins import STAFF
from src.settings import Settings

# Ten years, which is longer than providers keep their data.
MAX_DAYS = 3660
# The root over no facts is valid, too.
NEWEST_ROOT = """
select format('%s (%s facts before %s)', encode(root, 'hex'), (select sum(entries) from fin.checkpoints),
  to_char(through at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))
from fin.checkpoints order by through desc limit 1
"""


def add(commands: Commands) -> None:
    books = group(commands, "ledger", "the books")
    proof = books.add_parser("verify", help="prove every chain, balance and sum")
    proof.set_defaults(run=lambda _arguments: verify())
    compared = books.add_parser("reconcile", help="list what the payment provider and the books disagree on")
    compared.add_argument("--days", type=number(1, MAX_DAYS), default=7, help="what changed in so many days")
    compared.set_defaults(run=lambda arguments: compare(arguments.days))


def verify() -> int:
    """0 when every chain, balance and sum is right; else 1 with a line for each fault."""
    with operators.acting_as(os.environ, STAFF) as dsn:
        return asyncio.run(_verify(dsn))


def compare(days: int) -> int:
    """0 when provider and books agree on these days; else 1 with a line for each difference."""
    with local.database(os.environ) as settings:
        if not settings.stripe_secret_key:
            message = "STRIPE_SECRET_KEY is not set: without it only mocks took money, which no provider knows of"
            raise SettingsError(message)
        since = datetime.now(UTC) - timedelta(days=days)
        compared, differences = asyncio.run(_differences(settings, since))
    for difference in differences:
        print(_line(difference))
    print(f"{counted(len(differences), 'difference')} in {counted(compared, 'payment')} since {since:%Y-%m-%d}")
    return 1 if differences else 0


async def _verify(dsn: str) -> int:
    connection = await connect(dsn)
    try:
        count = await connection.fetchval("select count(*) from fin.entries")
        async with progress.shown(lambda: f"proving {count:,} facts"):
            faults = await connection.fetch("select stream_id, seq, problem from fin.verify_ledger()")
        for fault in faults:
            print(" ".join(str(value) for value in fault.values() if value is not None))
        root = await connection.fetchval(NEWEST_ROOT) or "none yet: the worker seals each day once it is over, by UTC"
        print(f"{counted(len(faults), 'fault')} in {counted(count, 'fact')}; newest root {root}")
        return 1 if faults else 0
    finally:
        await connection.close()


async def _differences(settings: Settings, since: datetime) -> tuple[int, list[Difference]]:
    from src.composition import compose  # noqa: PLC0415 - the service's imports would slow every other command

    composed = compose(settings)
    try:
        context = Context(SERVICE, "reconcile")
        return await reconcile(context, since, composed.ledger, composed.live_stripe)
    finally:
        await composed.close()


def _line(difference: Difference) -> str:
    books = difference.books
    payment, ours = "unknown", "books: nothing"
    if books is not None:
        payment = str(books.payment_id)
        ours = f"books: taken {books.captured_cents}, given back {books.given_back_cents}"
    if difference.error is not None:
        theirs = f"no answer ({difference.error})"
    else:
        theirs = f"taken {difference.taken_cents}, given back {difference.given_back_cents}"
    return f"payment {payment} intent {difference.intent_id}: {ours}; provider: {theirs}"
