"""The cases of `make bench`."""

from __future__ import annotations

from bench.harness import Case
from bench.load import Pgbench, Wrk
from bench.sql import DEFINES, four_trips, one_statement
from bench.stack import Stack

BARE = "bare route"
ONE_STATEMENT = "pgbench, 8 clients"
FOUR_TRIPS = "pgbench, four trips, 32 clients"

PAGE = {"p_start_from": "date '2025-10-01'", "p_start_to": "date '2025-10-15'", "p_supplier": "null", "p_page": "1"}
BOOKINGS = "/functions/v1/ops-bookings?from=2025-10-01&to=2025-10-15"
PERMIT = {"p_park": "'Akagera'", "p_visit_date": "date '2030-07-01'", "p_pax_count": "2", "p_note": "null"}


def all_cases(stack: Stack) -> list[Case]:
    """Every case, in the order of the table."""
    return [*lists(stack), *functions(stack)]


def lists(stack: Stack) -> list[Case]:
    """Bookings, of the fixtures and of the million."""
    page = {**PAGE, "p_page_size": "20"}
    return [
        Case(
            "ops-bookings, fixtures",
            Wrk(BOOKINGS, stack.key()),
            {BARE: Wrk("/healthz")},
            {BARE: 0.6},
            switches={"USE_FIXTURES": "1"},
        ),
        Case(
            "ops-bookings, live page",
            Wrk(BOOKINGS, stack.user()),
            {
                ONE_STATEMENT: Pgbench(one_statement("ops.list_bookings", **page), DEFINES, clients=8),
                FOUR_TRIPS: Pgbench(four_trips("ops.list_bookings", **page), DEFINES),
            },
            {ONE_STATEMENT: 0.28, FOUR_TRIPS: 0.9},
            switches={"USE_FIXTURES": "0"},
        ),
    ]


def functions(stack: Stack) -> list[Case]:
    """One call that writes a row and its audit event."""
    return [
        Case(
            "permits-request",
            Wrk(
                "/functions/v1/permits-request",
                stack.user(),
                method="POST",
                body='{"park":"Akagera","visit_date":"2030-07-01","pax_count":2}',
            ),
            {
                ONE_STATEMENT: Pgbench(one_statement("public.create_permit_request", **PERMIT), DEFINES, clients=8),
                BARE: Wrk("/healthz"),
            },
            {ONE_STATEMENT: 0.5},
        ),
    ]
