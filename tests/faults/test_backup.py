"""Backup and restore, as an operator does them."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from tests.cluster import execute, server
from tests.postgres import Server, make_template
from tests.processes import ecotrips

PAID = """
with started as (select public.start_checkout('11111111-1111-4111-8111-111111111111', 25000, 'USD') as answer)
select public.record_payment_intent((answer ->> 'payment_id')::uuid, 'pi_backup', null) ->> 'status' from started
"""
BOOKS = "select (select count(*) from fin.verify_ledger()) || '|' || (select count(*) from payment.payments)"


def test_a_dump_of_one_server_serves_on_another(tmp_path: Path) -> None:
    dump = str(tmp_path / "ecotrips.dump")

    def db(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Without the tools of the PATH."""
        return ecotrips(tmp_path, "db", *arguments, DATABASE_URL=dsn, PATH="")

    with server() as old, server() as new:
        database = old.url(make_template(Server(old.url("postgres"))))
        assert asyncio.run(execute(database, PAID)) == "processing"
        written = db(database, "backup", dump)
        assert written.returncode == 0, written.stderr
        asyncio.run(execute(new.url("postgres"), "create database restored"))
        copy = new.url("restored")
        restored = db(copy, "restore", dump)
        assert restored.returncode == 0, restored.stderr
        assert asyncio.run(execute(copy, BOOKS)) == asyncio.run(execute(database, BOOKS)) == "0|1"
        temporary = "select has_database_privilege('public', 'restored', 'temporary')"
        assert asyncio.run(execute(copy, temporary)) is False
        assert db(copy, "apply").stdout == "up to date\n"
        again = db(copy, "restore", dump)
        assert (again.returncode, again.stderr) == (
            1,
            "ecotrips: the database is not empty: restore into a new one\n",
        )
