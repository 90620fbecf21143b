"""What ten million itineraries cost against ten thousand: `python -m bench.volume [--rounds N] [--seconds N]`.

Without payments and ledger, whose making alone would take an hour and a hundred gigabytes.
"""

from __future__ import annotations

import argparse

from bench import report
from bench.harness import Case, measure
from bench.load import Wrk
from bench.rest import TWENTY_ROWS
from bench.stack import Stack, stack

ROWS = 10_000_000
SMALL = 10_000
FLOOR = f"{SMALL:,} rows"
# How many different keys are asked for, in turn.
KEYS = 1_000


def any_key(stack: Stack, service: str) -> Wrk:
    """One row by a key that nobody asked for lately."""
    rows = ROWS if service == "main" else SMALL
    keys = stack.execute(
        "select string_agg(meta.made_id('itinerary', 1 + (number * 7919::bigint) % $1)::text, ' ')"
        " from generate_series(1, $2) number",
        rows,
        KEYS,
        service=service,
    )
    script = f"""
local keys, asked = {{}}, 0
for key in ("{keys}"):gmatch("%S+") do keys[#keys + 1] = key end
function request()
  asked = asked % #keys + 1
  return wrk.format("GET", "/rest/v1/ops.v_bookings?id=eq." .. keys[asked])
end
"""
    return Wrk(headers=stack.user(), script=script, service=service)


def cases(stack: Stack) -> list[Case]:
    """Both reads on the big and on the small database."""
    page = f"/rest/v1{TWENTY_ROWS}"
    return [
        # What is found by its key may touch pages that no longer fit into memory.
        Case("one row by key", any_key(stack, "main"), {FLOOR: any_key(stack, "small")}, {FLOOR: 0.6}),
        Case("20 rows", Wrk(page, stack.user()), {FLOOR: Wrk(page, stack.user(), service="small")}, {FLOOR: 0.9}),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.volume")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2, help="length of one measurement")
    asked = parser.parse_args()
    with stack(ROWS, {"small": SMALL}, bookings_only=True) as running:
        measured = measure(running, cases(running), asked.rounds, asked.seconds)
    found = report.rows(measured)
    print(report.table(found))
    print(f"written: {report.save(found, 'volume', notes=[report.machine()])}")


if __name__ == "__main__":
    main()
