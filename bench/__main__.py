"""`make bench`: every case against its floors; see bench/README.md."""

from __future__ import annotations

import argparse

from bench import report
from bench.cases import BOOKINGS, all_cases
from bench.harness import measure
from bench.load import Wrk, tool
from bench.raw import serving_raw
from bench.stack import Stack, stack
from bench.variants import ORIGIN, exporting, variant


def memory_growth(running: Stack, requests: int = 100_000) -> str:
    """The worker's memory, before and after so many requests for pages."""
    service = running.services["main"]
    before = service.own_megabytes()
    load, done = Wrk(BOOKINGS, running.key(), connections=64), 0.0
    running.execute("select ops.set_flag('USE_FIXTURES', '1')")
    while done < requests:
        done += load.run(running, 5).rate * 5
    after, resident = service.own_megabytes(), service.resident_megabytes()
    return (
        f"A worker's own memory: {before:.0f} MB after all cases, {after:.0f} MB after {done:,.0f} more requests;"
        f" {resident:.0f} MB with the pages of libraries that all processes share."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", help="only cases whose name holds one of these")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1, help="length of one measurement")
    parser.add_argument("--rows", type=int, default=1_000_000, help="made-up itineraries in the database")
    asked = parser.parse_args()
    tool("wrk")
    tool("pgbench")
    with (
        stack(asked.rows, {"small": 10_000}) as running,
        serving_raw(running),
        exporting(running),
        variant(running, "cors", CORS_ORIGINS=ORIGIN),
    ):
        started = running.start_seconds
        cases = [c for c in all_cases(running) if not asked.names or any(name in c.name for name in asked.names)]
        measured = measure(running, cases, asked.rounds, asked.seconds)
        memory = memory_growth(running)
    found = report.rows(measured)
    print(report.table(found))
    lines = [f"Ready {started:.1f} s after its start.", memory, report.machine()]
    print("\n".join(lines))
    print(f"written: {report.save(found, notes=lines)}")


if __name__ == "__main__":
    main()
