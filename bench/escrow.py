"""Contributions a second to one hot escrow and to a hundred, against a bare insert: `make bench-escrow`."""

from __future__ import annotations

import secrets

from bench import report
from bench.harness import Case, measure
from bench.load import Pgbench, Wrk
from bench.sql import DEFINES, one_statement
from bench.stack import Stack, stack
from src.commands.local import OPS_USER

BARE_INSERT = "bare insert, 8 clients"
SAME_SQL = "pgbench, 8 clients"

# New escrows for each case, with ids that pgbench and wrk can count out, and a table for the least that keeps anything.
ESCROWS = """
with made as (insert into "group".groups (name) values ('bench') returning id),
joined as (insert into "group".members (group_id, user_id, role) select id, $2::uuid, 'owner' from made)
insert into "group".escrows (id, group_id, currency, target_cents, min_members, deadline)
select ($1 || lpad(n::text, 12, '0'))::uuid, id, 'USD', 1000000000000, 2, now() + interval '1 day'
from made, generate_series(1, $3::int) n
"""
PLAIN_TABLE = """
do $$ begin
create schema if not exists bench;
create table if not exists bench.contributions (id uuid primary key, escrow_id uuid, amount_cents bigint);
grant usage on schema bench to web_authenticated;
grant insert on bench.contributions to web_authenticated;
end $$
"""
REQUEST = """
function request()
  local escrow = string.format('%s%%012d', math.random(1, %d))
  return wrk.format('POST', nil, nil, '{"amount_cents":100,"escrow_id":"' .. escrow .. '"}')
end
"""


def loads(running: Stack, escrows: int) -> tuple[Wrk, Pgbench, Pgbench]:
    """Contributions to so many new escrows in turn: by HTTP, by the same SQL, and as bare inserts."""
    base = f"{secrets.token_hex(4)}-0000-4000-8000-"
    running.execute(PLAIN_TABLE)
    running.execute(ESCROWS, base, OPS_USER, escrows)
    number, escrow = f"\\set number random(1, {escrows})\n", "(:base || lpad(:number::text, 12, '0'))::uuid"
    contribute = one_statement("public.contribute", p_escrow_id=escrow, p_amount_cents="100")
    insert = f"insert into bench.contributions values (gen_random_uuid(), {escrow}, 100);\n"
    defines = {**DEFINES, "base": base}
    return (
        Wrk(
            "/functions/v1/groups-contribute",
            running.user(),
            method="POST",
            body="{}",
            script=REQUEST % (base, escrows),
        ),
        Pgbench(number + contribute, defines, clients=8),
        Pgbench(number + insert, defines, clients=8),
    )


def by_http(running: Stack, name: str, escrows: int) -> Case:
    """groups-contribute, with mocked payments: the contribution and its payment's intent."""
    http, sql, bare = loads(running, escrows)
    return Case(name, http, {SAME_SQL: sql, BARE_INSERT: bare}, switches={"STRIPE_MOCK_MODE": "1"})


def by_sql(running: Stack, name: str, escrows: int) -> Case:
    """public.contribute alone."""
    _, sql, bare = loads(running, escrows)
    return Case(f"{name}, SQL alone", sql, {BARE_INSERT: bare})


if __name__ == "__main__":
    with stack() as service:
        made = [
            kind(service, f"contribution to {name}", escrows)
            for name, escrows in (("one hot escrow", 1), ("100 escrows", 100))
            for kind in (by_sql, by_http)
        ]
        # Windows long enough that the first plans of pgbench's new sessions do not count much.
        results = report.rows(measure(service, made, rounds=4, seconds=4))
    print(report.table(results))
    print(f"{report.machine()}\nwritten: {report.save(results, 'escrow')}")
