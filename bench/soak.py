"""`make soak`: mixed load at 70 % of what this machine can do, for SOAK_MINUTES (30).

Fails when an answer is a refusal or lost, when memory grows by more than a tenth after the first minutes, when a
minute's p99 passes three times the first minute's, or when the books do not verify afterwards.
"""

from __future__ import annotations

import os

from bench import flow
from bench.cases import BOOKINGS, SUPPLIER
from bench.load import Sample, Wrk
from bench.stack import Stack, stack

ROWS = "/rest/v1/ops.v_bookings?supplier=eq.SUP-007&order=start_date,id&limit=20"
SHARE = 0.7
CONNECTIONS = 64
SETTLED = 3  # minutes until memory counts
# Of ten requests three are pages and three reads of /rest/v1; the others carry a payment through its flow. The delay is
# in ms.
MIX = (
    flow.SCRIPT.replace("function request()", "function step_of_a_payment()")
    + """
local pages = 0
function request()
  pages = pages + 1
  if pages %% 10 < 3 then return wrk.format('GET', '%s') end
  if pages %% 10 < 6 then return wrk.format('GET', '%s') end
  return step_of_a_payment()
end
function delay() return %d end
"""
)


def mixed(running: Stack, pause: float) -> Wrk:
    script = MIX % (BOOKINGS + SUPPLIER, ROWS, round(pause))
    return Wrk("/", running.key("service_role"), CONNECTIONS, method="POST", body="{}", script=script)


def main() -> None:
    minutes = int(os.environ.get("SOAK_MINUTES", "30"))
    failures: list[str] = []
    with stack(10_000, USE_FIXTURES="0") as running:
        running.execute("select ops.set_flag('USE_FIXTURES', '0')")
        service = running.services["main"]
        ceiling = mixed(running, 0).run(running, 20).rate
        # A connection waits so long that all of them together ask for the wanted share.
        unloaded = mixed(running, CONNECTIONS / (SHARE * ceiling) * 1000).run(running, 5)
        pause = CONNECTIONS / (SHARE * ceiling) * 1000 - unloaded.p50
        print(f"ceiling {ceiling:,.0f}/s; {minutes} minutes at {SHARE:.0%} of it", flush=True)
        first: Sample | None = None
        settled = 0.0
        for minute in range(1, minutes + 1):
            sample = mixed(running, max(pause, 0)).run(running, 60)
            memory = service.resident_megabytes()
            print(f"{minute:3d}  {sample.rate:,.0f}/s  p99 {sample.p99:.0f} ms  {memory:.0f} MB", flush=True)
            first = first or sample
            settled = memory if minute <= SETTLED else settled
            if sample.refused or sample.lost:
                failures.append(f"minute {minute}: {sample.refused} refused, {sample.lost} lost")
            if sample.p99 > 3 * first.p99:
                failures.append(f"minute {minute}: p99 {sample.p99:.0f} ms, in the first {first.p99:.0f} ms")
            if memory > 1.1 * settled:
                failures.append(f"minute {minute}: {memory:.0f} MB, after minute {SETTLED} {settled:.0f} MB")
        if problems := running.execute("select count(*) from fin.verify_ledger()"):
            failures.append(f"the ledger has {problems} problems")
    raise SystemExit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
