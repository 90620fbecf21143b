"""The cases of `make bench`."""

from __future__ import annotations

from dataclasses import replace

from bench import escrow, flow, rest
from bench.harness import Case
from bench.load import Pgbench, Wrk
from bench.rest import BARE, FOUR_TRIPS
from bench.sql import DEFINES, four_trips, one_statement
from bench.stack import Stack
from bench.variants import ORIGIN

ONE_STATEMENT = "pgbench, 8 clients"

PAGE = {"p_start_from": "date '2025-10-01'", "p_start_to": "date '2025-10-15'", "p_supplier": "null", "p_page": "1"}
BOOKINGS = "/functions/v1/ops-bookings?from=2025-10-01&to=2025-10-15"
SUPPLIER = "&supplier=SUP-007"
PERMIT = {"p_park": "'Akagera'", "p_visit_date": "date '2030-07-01'", "p_pax_count": "2", "p_note": "null"}
HOTELS = '{"city":"Kigali","check_in":"2030-12-01","check_out":"2030-12-03","pax":{"adults":2}}'


def all_cases(stack: Stack) -> list[Case]:
    """Every case, in the order of the table."""
    of_rest = rest.cases(stack)
    of_lists = lists(stack)
    beside = [*exported(of_lists[0], of_rest[0]), *with_cors(of_lists[0], of_rest[0])]
    return [bare(), *of_rest, *of_lists, *beside, *functions(stack), *latencies(stack), *growth(stack, of_rest)]


def bare() -> Case:
    """A route of Litestar's that returns bytes: what the frame costs."""
    return Case("/healthz", Wrk("/healthz"), {BARE: Wrk(service="raw")})


def lists(stack: Stack) -> list[Case]:
    """Bookings, of the fixtures and of the million."""
    page = {**PAGE, "p_page_size": "20"}
    return [
        Case(
            "ops-bookings, fixtures",
            Wrk(BOOKINGS, stack.key()),
            {BARE: Wrk(service="raw")},
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


def exported(*cases: Case) -> list[Case]:
    """The same calls with every request traced (bench/telemetry.py) and with none; AUDIT lines and logs are in both."""
    return [
        Case(
            f"{case.name}, exported",
            replace(case.load, service="exporting"),
            {"nothing exported": case.load},
            {"nothing exported": 0.7},
            case.switches,
        )
        for case in cases
        if isinstance(case.load, Wrk)
    ]


def with_cors(*cases: Case) -> list[Case]:
    """The same calls as a browser sends them, by a service that lets its origin read the answers."""
    return [
        Case(
            f"{case.name}, CORS",
            replace(case.load, service="cors", headers={**case.load.headers, "origin": ORIGIN}),
            {"without CORS": case.load},
            {"without CORS": 0.91},
            case.switches,
        )
        for case in cases
        if isinstance(case.load, Wrk)
    ]


def functions(stack: Stack) -> list[Case]:
    """What writes rows and their audit events, the search for places, and hotels from the cache."""
    return [
        Case(
            "permits-request",
            Wrk(
                "/functions/v1/permits-request",
                stack.user(),
                method="POST",
                body='{"park":"Akagera","visit_date":"2030-07-01","pax_count":2}',
            ),
            {ONE_STATEMENT: Pgbench(one_statement("public.create_permit_request", **PERMIT), DEFINES, clients=8)},
            {ONE_STATEMENT: 0.5},
        ),
        escrow.by_http(stack, "contribution to an escrow", escrows=1),
        Case("checkout, webhook, refund", flow.over_http(stack), {ONE_STATEMENT: flow.by_pgbench()}),
        Case(
            "search-places, catalogue",
            Wrk("/functions/v1/search-places", stack.key(), method="POST", body='{"query":"volcanoes national"}'),
            {BARE: Wrk(service="raw")},
            switches={"USE_FIXTURES": "0"},
        ),
        Case(
            "inventory-search, cached",
            Wrk("/functions/v1/inventory-search", stack.key(), method="POST", body=HOTELS),
            {BARE: Wrk(service="raw")},
            switches={"INVENTORY_OFFLINE": "1"},
        ),
    ]


def latencies(stack: Stack) -> list[Case]:
    """One page of one supplier and a bare route, at 1, 32, 64 and 256 connections."""
    return [
        Case(
            f"live page of a supplier, {connections} connections",
            Wrk(BOOKINGS + SUPPLIER, stack.user(), connections),
            {f"{BARE}, {connections} connections": Wrk(connections=connections, service="raw")},
            switches={"USE_FIXTURES": "0"},
        )
        for connections in (1, 32, 64, 256)
    ]


def growth(stack: Stack, of_rest: list[Case]) -> list[Case]:
    """The same work on the big and on the small database: the ratio is what volume costs."""
    loads: dict[str, Wrk] = {
        **{case.name: case.load for case in of_rest[:2] if isinstance(case.load, Wrk)},
        "checkout": Wrk("/", stack.key("service_role"), method="POST", body="{}", script=flow.SCRIPT, units=3),
    }
    pairs = {name: (load, replace(load, service="small")) for name, load in loads.items()}
    pairs["live page of a supplier"] = (first_hundred(stack, "main"), first_hundred(stack, "small"))
    return [
        Case(
            f"{name}, all rows",
            load,
            {"10,000 rows": small},
            {"10,000 rows": 0.9},
            switches={"USE_FIXTURES": "0", "STRIPE_MOCK_MODE": "1"},
        )
        for name, (load, small) in pairs.items()
    ]


def first_hundred(stack: Stack, service: str) -> Wrk:
    """A page of a supplier over the days that its first hundred bookings take.

    They are fewer where there is more, so that every volume has a full page and as many rows to count for the total.
    """
    last = stack.execute(
        "select max(start_date) from (select start_date from booking.itineraries where primary_supplier = 'SUP-007'"
        " and start_date >= '2025-01-01' order by start_date limit 100) first_hundred",
        service=service,
    )
    return Wrk(f"/functions/v1/ops-bookings?from=2025-01-01&to={last}{SUPPLIER}", stack.user(), service=service)
