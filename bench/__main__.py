"""`make bench`: every case against its floors; see bench/README.md."""

from __future__ import annotations

import argparse

from bench import report
from bench.cases import all_cases
from bench.harness import measure
from bench.load import tool
from bench.stack import stack


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", help="only cases whose name holds one of these")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2, help="length of one measurement")
    parser.add_argument("--rows", type=int, default=1_000_000, help="made-up itineraries in the database")
    asked = parser.parse_args()
    tool("wrk")
    tool("pgbench")
    with stack(asked.rows) as running:
        cases = [c for c in all_cases(running) if not asked.names or any(name in c.name for name in asked.names)]
        measured = measure(running, cases, asked.rounds, asked.seconds)
    found = report.rows(measured)
    print(report.table(found))
    print(report.machine())
    print(f"written: {report.save(found)}")


if __name__ == "__main__":
    main()
