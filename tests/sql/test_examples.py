"""The transcripts of sql/examples run as they stand, one after the other, on a fresh database, as psql --service."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise

import asyncpg

from src.database import apply
from src.database.dsn import for_libpq
from src.database.embedded import binaries
from src.logins import OPERATORS, SERVICE, login_dsn
from src.settings import OFFLINE_SWITCHES
from tests.support.postgres import settings
from tests.support.processes import TIMEOUT

EXPECTED = {
    "checkout": ["payment mock processing", "same_payment|t", "first|applied", "again|duplicate", "succeeded|25000|0"],
    "partial_refund": [
        "refund pending",
        "same_refund|t",
        "5000|0",
        "settled|refunded",
        "refunded|0|5000",
        "refused with PT400 amount exceeds original payment",
        "4|refund_succeeded|5000|USD",
    ],
    "reconciliation": ["stream_id|seq|problem|(0 rows)", "USD|25000|25000|5000|5000|t", "sealed|true"],
    "runbook": [
        "bookings|t",
        "exceptions|t",
        "exception|retrying",
        "webhook|applied",
        "succeeded|t",
        "failure|applied",
        "declined|failed",
        "failure_is_audited|t",
        "seeded|1",
        "place|Kigali",
        "circuit|open",
        "circuit|closed",
        "same_invoice|t",
        "message_for_the_worker|queued",
        "refund|refunded",
        "refunded|t",
        "credit_note_refers_to_its_invoice|t",
        "ledger|intent_created capture_succeeded refund_requested refund_succeeded",
        "export_review|approved",
        "erasure_review|approved",
        "mapped_columns|t",
        "queued|approved",
        "plan_digest|64",
        "erased|true",
        "still_known|0",
        "permit|approved",
        "permit|rejected",
        "refused with PT409 Only pending requests can be approved",
        "first_share|applied",
        "second_share|applied",
        "escrow|met",
        "payout|processing",
        "payout|succeeded",
        "escrow|paid_out",
        "succeeded|1|50000",
        "audited|t",
    ],
}


def replayed(database: str, name: str) -> str:
    """What psql prints, a value of one column behind its name."""
    psql = binaries(os.environ.get("POSTGRES_BIN")) / "psql"
    script = apply.SQL_FOLDER / "examples" / f"{name}.sql"
    dsn, secret = for_libpq(login_dsn(settings(database), OPERATORS[SERVICE]))
    command = [str(psql), dsn, "-X", "-A", "-v", "ON_ERROR_STOP=1", "-f", str(script)]
    env = {**os.environ, **secret}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_every_example_works_as_it_stands(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(apply.KEEP_SWITCHES, json.dumps(OFFLINE_SWITCHES))
    assert {path.stem for path in (apply.SQL_FOLDER / "examples").glob("*.sql")} == set(EXPECTED)
    for name, lines in EXPECTED.items():
        written = replayed(database, name).splitlines()
        found = written + [f"{head}|{value}" for head, value in pairwise(written)]
        assert [line for line in lines if line not in found] == [], (name, written)
        if name != "reconciliation":
            assert "problems|0" in found
