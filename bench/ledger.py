"""What a fact of the ledger costs: `python -m bench.ledger`. The first run makes a million ledger rows.

A fact is a dispute of one cent: `fin.append_entry`, which every flow of money calls, writes the entry, two postings,
the balance of an account and the head of the stream. Beside it stand what the same server does at most (`select 1`) and
the least that keeping such a fact takes (three inserts sent together, without chain, order, balances or a second look).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from bench import report
from bench.harness import Case, measure
from bench.load import Pgbench
from bench.stack import Stack, stack

# Ten made-up payments have 21 facts; of those ten the seven whose numbers end in 0 to 6 are captured and no more.
FACTS_OF_TEN = 21
FACT = (
    "select (fin.append_entry(p, 'dispute_opened', 1, 'dp_' || gen_random_uuid(), 'disputed', 'provider_clearing')).seq"
    " from payment.locked(meta.made_id('payment', :number)) p;\n"
)
SPREAD = f"\\set number 10 * random(1, :tens - 1) + random(0, 6)\n{FACT}"
# The first fact of a client compiles the functions: not with the lock that all others wait for.
HOT = f"""\\if :warm
\\set number 10
\\else
\\set number 10 * random(1, :tens - 1) + random(0, 6)
\\set warm 1
\\endif
{FACT}"""
BARE = """
do $$
begin
  drop schema if exists bench cascade;
  create schema bench;
  create table bench.entries (
    id bigserial primary key, stream_id uuid, entry_type text, amount_cents bigint, currency text, provider_ref text,
    recorded_at timestamptz default now()
  );
  create table bench.postings (
    entry_id bigint, line int, account text, amount_cents bigint, primary key (entry_id, line)
  );
end
$$
"""
THREE_INSERTS = """\\startpipeline
begin;
insert into bench.entries (stream_id, entry_type, amount_cents, currency, provider_ref)
values (gen_random_uuid(), 'dispute_opened', 1, 'USD', 'dp_' || gen_random_uuid());
insert into bench.postings values (currval('bench.entries_id_seq'), 1, 'disputed:' || gen_random_uuid(), 1);
insert into bench.postings values (currval('bench.entries_id_seq'), 2, 'provider_clearing', -1);
commit;
\\endpipeline
"""
SMALL_ROWS = 10_000
# At most a fifth dearer than on the small ledger.
GROWTH = 0.83


def as_owner(script: str, clients: int, tens: int) -> Pgbench:
    return Pgbench(script, {"tens": str(tens), "warm": "0"}, clients, role="postgres")


def rates(tens: int) -> list[Case]:
    """Facts a second at 1, 8 and 32 clients, on payments all over the ledger and on one."""
    bare = {clients: as_owner(THREE_INSERTS, clients, tens) for clients in (1, 8, 32)}
    # Facts of one payment wait for each other's commits, as those of one client do.
    alone = {"three inserts, 1 client": bare[1]}
    return [
        Case(
            f"a fact, {name}",
            as_owner(script, clients, tens),
            {"three inserts": bare[clients], "select 1": as_owner("select 1;\n", clients, tens), **more},
        )
        for name, script, clients, more in (
            ("1 client", SPREAD, 1, {}),
            ("8 clients", SPREAD, 8, {}),
            ("32 clients", SPREAD, 32, {}),
            ("8 clients, one hot payment", HOT, 8, alone),
            ("32 clients, one hot payment", HOT, 32, alone),
        )
    ]


def growth(tens: int, small_tens: int) -> Case:
    """So few that the small ledger stays small."""
    load = replace(as_owner(SPREAD, 1, tens), transactions=300)
    small = replace(load, defines={**load.defines, "tens": str(small_tens)}, service="small")
    floor = f"{SMALL_ROWS:,} rows"
    return Case("a fact, all rows, 1 client", load, {floor: small}, {floor: GROWTH})


def facts(running: Stack, service: str) -> str:
    return f"{running.execute('select count(*) from fin.entries', service=service):,}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.ledger")
    parser.add_argument("names", nargs="*", help="only rates whose name holds one of these")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5, help="length of one measurement")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the big ledger")
    asked = parser.parse_args()
    tens, small_tens = asked.rows // FACTS_OF_TEN, SMALL_ROWS // FACTS_OF_TEN
    with stack(10 * tens, {"small": 10 * small_tens}) as running:
        running.execute(BARE)
        lines = [f"The ledgers held {facts(running, 'main')} and {facts(running, 'small')} rows at the start,"]
        measured = measure(running, [growth(tens, small_tens)], asked.rounds, asked.seconds)
        lines.append(f"{facts(running, 'main')} and {facts(running, 'small')} after the first case,")
        chosen = [case for case in rates(tens) if not asked.names or any(name in case.name for name in asked.names)]
        measured += measure(running, chosen, asked.rounds, asked.seconds)
        wrong = running.execute("select count(*) from fin.verify_ledger()")
        lines.append(f"{facts(running, 'main')} at the end; fin.verify_ledger() finds {wrong} wrong in them.")
        # It has grown: the next run makes it again.
        running.execute(f"drop database volume_{10 * small_tens} with (force)")
    found = report.rows(measured)
    print(report.table(found))
    lines.append(report.machine())
    print("\n".join(lines))
    print(f"written: {report.save(found, 'ledger', notes=lines)}")
    if wrong:
        raise SystemExit("the books do not verify")


if __name__ == "__main__":
    main()
