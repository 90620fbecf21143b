"""Alert rules and the dashboard's queries, evaluated by Prometheus' own tool on good and bad days."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml

from src.adapters.postgres import service_levels
from src.adapters.postgres.database import Database
from src.app import COUNTED_FROM_THE_START
from src.domain.errors import NotAllowed, Unavailable
from tests.conftest import Api
from tests.support.processes import TIMEOUT, free_port, server
from tests.support.programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"] for rule in RULES}
PANELS = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
# Each query of each tile, by the tile's title and the query's legend.
QUERIES = {
    f"{panel['title']}: {query['legendFormat']}": query["expr"] for panel in PANELS for query in panel["targets"]
}
SHARES = {
    f"{panel['title']}: {query['legendFormat']}"
    for panel in PANELS
    if panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
    for query in panel["targets"]
}
CHECKOUT, INVOICE = "/functions/v1/bff-checkout", "/functions/v1/fin-invoice-generate"
STRIPE = "/functions/v1/stripe-webhook"
CHECKOUT_SHARE = "Checkout success, last hour (at least 96 %): checkouts"
INVOICE_SHARE = "Invoices issued, last hour (at least 99.5 %): invoices"
AT = "150m"  # one series value a minute before that
STEADY = "0+60x180"

Series = Mapping[str, str]
Samples = Mapping[str, float]


def requests(route: str, status: int, instance: str = "a") -> str:
    return (
        f'ecotrips_request_seconds_count{{job="ecotrips",instance="{instance}",method="POST",'
        f'route="{route}",status="{status}"}}'
    )


def bucket(route: str, bound: str, instance: str = "a") -> str:
    return (
        f'ecotrips_request_seconds_bucket{{job="ecotrips",instance="{instance}",method="POST",'
        f'route="{route}",status="200",le="{bound}"}}'
    )


def own(name: str, instance: str = "a", **labels: str) -> str:
    given = {"job": "ecotrips", "instance": instance, **labels}
    pairs = ",".join(f'{key}="{value}"' for key, value in given.items())
    return f"{name}{{{pairs}}}"


def state(name: str, value: str) -> dict[str, str]:
    """One series of a server for each of the two servers."""
    return {own(name, instance): value for instance in "ab"}


LEVELS = {
    "checkouts_last_hour": "60x180",
    "refunds_pending": "2x180",
    "messages_queued": "1x180",
    "payouts_pending": "1x180",
    "webhooks_deferred": "0x180",
    "escrow_refunds_due": "0x180",
    "exceptions_open": "3x180",
    "refund_wait_seconds": "20x180",
    "payout_wait_seconds": "10x180",
    "webhook_wait_seconds": "0x180",
    "message_wait_seconds": "5x180",
    "exception_wait_seconds": "600x180",
    "worker_silence_seconds": "3x180",
    "sweeps_failing": "0x180",
    "notification_queue_ratio": "0x180",
    "lock_table_ratio": "0.01x180",
    "transaction_ids_ratio": "0.1x180",
    "oldest_snapshot_transactions": "5000x180",
}
RUNNING: Series = {
    **state("up", "1x180"),
    **state("process_resident_memory_bytes", "1000x180"),
    **state("process_start_time_seconds", "1000x180"),
    **state("ecotrips_database_up", "1x180"),
    **state("ecotrips_listening", "1x180"),
    **state("ecotrips_catalog_stale", "0x180"),
    **state("ecotrips_circuit_open", "0x180"),
    own("ecotrips_pool_busy", role="anon"): "4x180",
    own("ecotrips_pool_waiting", role="anon"): "0x180",
    **{name: value for level, given in LEVELS.items() for name, value in state(f"ecotrips_{level}", given).items()},
}
TRAFFIC: Series = {
    **{requests(route, 200): STEADY for route in (CHECKOUT, INVOICE, STRIPE)},
    **{bucket(route, "0.5"): STEADY for route in (CHECKOUT, STRIPE)},
    **{bucket(route, "2.5"): STEADY for route in (CHECKOUT, STRIPE)},
    **{bucket(route, "10.0"): STEADY for route in (CHECKOUT, STRIPE)},
    **{bucket(route, "+Inf"): STEADY for route in (CHECKOUT, STRIPE)},
    **state("ecotrips_checkout_success_ratio_last_hour", "1x180"),
    **state("ecotrips_refund_lag_p95_seconds_last_hour", "30x180"),
}
GOOD: Series = {**RUNNING, **TRAFFIC}


def level(name: str, value: str) -> Series:
    return {**GOOD, **state(f"ecotrips_{name}", value)}


def without(series: Series, *parts: str) -> Series:
    return {name: value for name, value in series.items() if not any(part in name for part in parts)}


def slow(route: str) -> Series:
    return {**GOOD, bucket(route, "0.5"): "0x180", bucket(route, "2.5"): "0x180"}


def every(minutes: int) -> str:
    """A counter that grows by one in so many minutes."""
    return " ".join(f"{count}x{minutes - 1}" for count in range(180 // minutes))


def quiet(route: str, *failed: int, slowly: bool = False) -> Series:
    """A night with four requests of a route in an hour, and one that fails or is slow."""
    seen = "0x99 1x80"
    return {
        **RUNNING,
        requests(route, 200): every(15),
        **{requests(route, status): seen for status in failed},
        **({bucket(route, bound): "0x180" for bound in ("0.5", "2.5")} if slowly else {}),
        **({bucket(route, bound): seen for bound in ("10.0", "+Inf")} if slowly else {}),
    }


@dataclass(frozen=True)
class Day:
    """Series, which alerts fire at the end, and what queries of the dashboard show then (empty: no data)."""

    series: Series
    fires: frozenset[str] = frozenset()
    shows: Mapping[str, Samples] = field(default_factory=dict)


def day(series: Series, *fires: str, shows: Mapping[str, Samples] | None = None) -> Day:
    return Day(series, frozenset(fires), shows or {})


ALL = "{}"
FAILING = "0+1x180"
RESTARTED = " ".join(["0+1x19"] * 9)
FLAPPING = " ".join(["1x0 0x0"] * 90)
WORK, WAITED = "Waiting work", "How long the oldest has waited"
WORKER = "Worker: since its last sweep"
SERVERS = "Servers that answer, and that reach the database"
DURATION = "Duration, 50th and 99th percentile"

DAYS: Mapping[str, Day] = {
    "a good day": day(
        GOOD,
        shows={
            CHECKOUT_SHARE: {ALL: 1},
            INVOICE_SHARE: {ALL: 1},
            "Checkout p95 (under 500 ms): p95": {ALL: 0.475},
            "Webhook p95 (under 3 s): p95": {ALL: 0.475},
            "Refund p95 (at most 15 min): p95": {ALL: 30},
            "Requests by route: {{route}}": {f'{{route="{route}"}}': 1 for route in (CHECKOUT, INVOICE, STRIPE)},
            "Failures by route: {{route}} {{status}}": {},
            "Failures by route: all": {ALL: 0},
            f"{DURATION}: p50": {ALL: 0.25},
            f"{DURATION}: p99": {ALL: 0.495},
            "Connections in use and callers that wait: busy {{role}}": {'{role="anon"}': 4},
            "Connections in use and callers that wait: waiting {{role}}": {'{role="anon"}': 0},
            f"{WORK}: exceptions": {ALL: 3},
            f"{WORK}: webhooks deferred": {ALL: 0},
            f"{WORK}: refunds pending": {ALL: 2},
            f"{WORK}: messages queued": {ALL: 1},
            f"{WORK}: payouts pending": {ALL: 1},
            f"{WORK}: refunds of escrows due": {ALL: 0},
            "Memory of each server: {{instance}}": {own("process_resident_memory_bytes", i): 1000 for i in "ab"},
            f"{WORKER}: silence": {ALL: 3},
            "Sweeps of the worker that fail: failing": {ALL: 0},
            f"{WAITED}: refund": {ALL: 20},
            f"{WAITED}: payout": {ALL: 10},
            f"{WAITED}: webhook": {ALL: 0},
            f"{WAITED}: message": {ALL: 5},
            f"{WAITED}: exception": {ALL: 600},
            f"{SERVERS}: answer": {ALL: 2},
            f"{SERVERS}: reach the database": {ALL: 2},
        },
    ),
    "a good day with restarts": day(
        {name: RESTARTED if value == STEADY else value for name, value in GOOD.items()},
        shows={CHECKOUT_SHARE: {ALL: 1}},
    ),
    "a night without traffic": day(
        {name: "100x180" if value == STEADY else value for name, value in without(GOOD, "last_hour").items()},
        shows={CHECKOUT_SHARE: {}, INVOICE_SHARE: {}, "Failures by route: all": {ALL: 0}},
    ),
    "a night after a start": day(RUNNING, shows={CHECKOUT_SHARE: {}, INVOICE_SHARE: {}}),
    "a failure now and then": day({**GOOD, requests(CHECKOUT, 500): every(60)}),
    "a failure every minute": day({**GOOD, requests(CHECKOUT, 500): FAILING}, "RequestsFail"),
    "one checkout of a quiet night fails": day(
        {
            **quiet(CHECKOUT, 502),
            **state("ecotrips_checkouts_last_hour", "2x180"),
            **state("ecotrips_checkout_success_ratio_last_hour", "0.5x180"),
        }
    ),
    "one checkout of a quiet night is slow": day(quiet(CHECKOUT, slowly=True)),
    "one webhook of a quiet night is slow": day(quiet(STRIPE, slowly=True)),
    "one webhook of a quiet night fails": day(quiet(STRIPE, 500)),
    "one webhook of a quiet night is refused": day(quiet(STRIPE, 400)),
    "one invoice of a quiet night fails": day(quiet(INVOICE, 500)),
    "one refund of a quiet night takes long": day(
        {**RUNNING, **state("ecotrips_refund_lag_p95_seconds_last_hour", "_x60 1000x75 _x45")}
    ),
    "webhooks fail now and then, for hours": day({**quiet(STRIPE), requests(STRIPE, 500): every(30)}, "RequestsFail"),
    "webhooks are refused now and then, for hours": day(
        {**quiet(STRIPE), requests(STRIPE, 400): every(30)}, "WebhooksRefused"
    ),
    "invoices fail now and then, for hours": day(
        {**quiet(INVOICE), requests(INVOICE, 502): every(30)}, "InvoicesBelow99Point5Percent", "RequestsFail"
    ),
    "callers' own mistakes": day({**GOOD, requests(CHECKOUT, 400): "0+60x180", requests(INVOICE, 404): "0+60x180"}),
    "a refused webhook in the night": day({**RUNNING, requests(STRIPE, 200): "20x180", requests(STRIPE, 400): "1x180"}),
    "every checkout fails from the first on": day(
        {**without(RUNNING, "checkout_success"), requests(CHECKOUT, 502): FAILING, requests(INVOICE, 200): STEADY},
        "CheckoutSuccessBelow96Percent",
        "RequestsFail",
        shows={CHECKOUT_SHARE: {ALL: 0}, INVOICE_SHARE: {ALL: 1}},
    ),
    "the first checkouts fail, then nobody tries again": day(
        {**RUNNING, requests(CHECKOUT, 500): "0x100 5x80"},
        "CheckoutSuccessBelow96Percent",
        "RequestsFail",
        shows={CHECKOUT_SHARE: {ALL: 0}},
    ),
    "every checkout fails, and the server restarts in between": day(
        {**without(RUNNING, "checkout_success"), requests(CHECKOUT, 502): RESTARTED, requests(INVOICE, 200): STEADY},
        "CheckoutSuccessBelow96Percent",
        "RequestsFail",
        shows={CHECKOUT_SHARE: {ALL: 0}},
    ),
    "the books remember checkouts that failed before the server was read": day(
        {**RUNNING, **state("ecotrips_checkout_success_ratio_last_hour", "0x180")}, "CheckoutSuccessBelow96Percent"
    ),
    "one checkout of ten fails": day(
        {**GOOD, requests(CHECKOUT, 502): "0+6x180"}, "CheckoutSuccessBelow96Percent", "RequestsFail"
    ),
    "every invoice fails from the first on": day(
        {**without(GOOD, INVOICE), requests(INVOICE, 500): FAILING},
        "InvoicesBelow99Point5Percent",
        "RequestsFail",
        shows={
            INVOICE_SHARE: {ALL: 0},
            "Failures by route: {{route}} {{status}}": {f'{{route="{INVOICE}",status="500"}}': 1 / 60},
        },
    ),
    "everything fails from the first request on": day(
        {**RUNNING, **{requests(route, 503): STEADY for route in (CHECKOUT, INVOICE, STRIPE)}},
        "CheckoutSuccessBelow96Percent",
        "InvoicesBelow99Point5Percent",
        "RequestsFail",
        "ServiceFails",
        shows={CHECKOUT_SHARE: {ALL: 0}, INVOICE_SHARE: {ALL: 0}, "Failures by route: all": {ALL: 3}},
    ),
    "everybody is refused": day(
        {**RUNNING, requests(CHECKOUT, 401): STEADY}, "CallersRefused", shows={CHECKOUT_SHARE: {}}
    ),
    "Stripe's secret is wrong": day({**without(GOOD, STRIPE), requests(STRIPE, 401): FAILING}, "WebhooksRefused"),
    "checkouts are slow": day(slow(CHECKOUT), "CheckoutSlowerThanHalfASecond"),
    "webhooks are slow": day(slow(STRIPE), "WebhookSlowerThanThreeSeconds"),
    "nothing runs, and Prometheus was told so": day(
        dict.fromkeys(state("up", ""), "0x180"),
        "NoServerAnswers",
        "ServerAway",
        shows={f"{SERVERS}: answer": {ALL: 0}, f"{SERVERS}: reach the database": {ALL: 0}},
    ),
    "nothing runs any more": day(
        {
            **{name: f"{value.partition('x')[0]}x100 _x80" for name, value in GOOD.items()},
            **state("up", "1x100 0x80"),
        },
        "NoServerAnswers",
        "ServerAway",
    ),
    "no target is left": day({}, "NoServerAnswers"),
    "one of two servers is away": day(
        {**without(GOOD, 'instance="b"'), own("up", "b"): "0x180"}, "ServerAway", shows={f"{SERVERS}: answer": {ALL: 1}}
    ),
    "a server does not stay up": day(
        {**GOOD, own("process_start_time_seconds", "b"): "1000+300x180", own("up", "b"): FLAPPING},
        "ServerAway",
        "ServerRestarts",
    ),
    "no server stays up": day(
        {
            **state("ecotrips_database_up", " ".join(["1x0 _x2"] * 45)),
            **state("ecotrips_worker_silence_seconds", " ".join(["3x0 _x2"] * 45)),
            **state("up", " ".join(["1x0 0x2"] * 45)),
        },
        "NoServerAnswers",
        "ServerAway",
    ),
    "servers are brought to a new release": day({**GOOD, **state("process_start_time_seconds", "1000x140 2000x40")}),
    "the database is away": day(
        {
            **without(RUNNING, *(f"ecotrips_{level}" for level in LEVELS)),
            **state("ecotrips_database_up", "0x180"),
            **{requests(route, 503): STEADY for route in (CHECKOUT, INVOICE)},
        },
        "DatabaseAway",
        "CheckoutSuccessBelow96Percent",
        "InvoicesBelow99Point5Percent",
        "RequestsFail",
        "ServiceFails",
        shows={f"{SERVERS}: reach the database": {ALL: 0}, CHECKOUT_SHARE: {ALL: 0}},
    ),
    "one server has lost the database": day({**GOOD, own("ecotrips_database_up", "b"): "0x180"}, "DatabaseAway"),
    "the database comes and goes": day(
        {**GOOD, **state("ecotrips_database_up", FLAPPING)}, "DatabaseAway", "DatabaseComesAndGoes"
    ),
    "the database is lost for a moment again and again": day(
        {**GOOD, **state("ecotrips_database_up", " ".join(["1x14 0x0"] * 12))}, "DatabaseComesAndGoes"
    ),
    "the database is started again once": day({**GOOD, **state("ecotrips_database_up", "1x120 0x0 1x60")}),
    "the worker has stopped": day(level("worker_silence_seconds", "0+60x180"), "WorkerSilent"),
    "no worker has ever run": day(without(GOOD, "worker_silence"), "WorkerSilent", shows={f"{WORKER}: silence": {}}),
    "a sweep fails": day(level("sweeps_failing", "1x180"), "SweepsFail"),
    "a sweep fails two times of three": day(level("sweeps_failing", " ".join(["1x1 0x0"] * 60)), "SweepsFail"),
    "a sweep failed once": day(level("sweeps_failing", "0x120 1x5 0x54")),
    "a session keeps notifications": day(level("notification_queue_ratio", "0+0.01x180"), "NotificationsPileUp"),
    "a session takes locks without end": day(level("lock_table_ratio", "0+0.01x180"), "LocksPileUp"),
    "a session uses up transaction ids": day(level("transaction_ids_ratio", "0.1+0.002x180"), "TransactionIdsRunOut"),
    "a session keeps its snapshot": day(level("oldest_snapshot_transactions", "0+100000x180"), "SnapshotKept"),
    "refunds take long": day(level("refund_lag_p95_seconds_last_hour", "1000x180"), "RefundsTakeOverFifteenMinutes"),
    "one refund of many waits": day(level("refund_wait_seconds", "0+60x180"), "RefundsWait"),
    "escrows' refunds wait": day(level("escrow_refunds_due", "3x180"), "EscrowRefundsWait"),
    "escrows' refunds come and go": day(level("escrow_refunds_due", " ".join(["3x20 0x5"] * 7))),
    "a payout waits": day(level("payout_wait_seconds", "0+60x180"), "PayoutsWait"),
    "a webhook waits": day(level("webhook_wait_seconds", "0+60x180"), "WebhooksWait"),
    "a message waits": day(level("message_wait_seconds", "0+60x180"), "MessagesWait"),
    "nobody looks at an exception": day(level("exception_wait_seconds", "80000+60x180"), "ExceptionsWait"),
    "exceptions pile up": day(level("exceptions_open", "21x180"), "ExceptionsPileUp"),
    "hotels are not asked": day({**GOOD, own("ecotrips_circuit_open", "b"): "1x180"}, "HotelSupplierNotCalled"),
    "hotels are asked now and then": day(
        {**GOOD, own("ecotrips_circuit_open", "b"): " ".join(["1x3 0x0"] * 45)}, "HotelSupplierNotCalled"
    ),
    "a server's schema is old": day({**GOOD, own("ecotrips_catalog_stale", "b"): "1x180"}, "DeafToChanges"),
    "a server does not listen": day({**GOOD, own("ecotrips_listening", "b"): "0x180"}, "DeafToChanges"),
    "a server hardly listens": day(
        {**GOOD, own("ecotrips_listening", "b"): " ".join(["1x0 0x2"] * 45)}, "DeafToChanges"
    ),
    "callers wait for connections": day(
        {**GOOD, own("ecotrips_pool_waiting", role="anon"): "11x180"}, "CallersWaitForConnections"
    ),
}
SILENT = [name for name, found in DAYS.items() if not found.fires]


def expected(samples: Samples) -> list[dict[str, object]]:
    return [{"labels": labels, "value": value} for labels, value in samples.items()]


def checks(found: Day) -> list[dict[str, Any]]:
    alarms = 'ALERTS{alertstate="firing"}'
    fires = {f'{{alertname="{name}"}}': _instances(found, name) for name in found.fires}
    # In the end, without a break before, and no others at any time.
    firing = [alarms, f"(count_over_time({alarms}[10m]) > 9)", f"count_over_time({alarms}[3h])"]
    asked = [(f"count by (alertname) ({alarm})", fires) for alarm in firing]
    asked += [(QUERIES[query], dict(samples)) for query, samples in found.shows.items()]
    return [{"expr": expr, "eval_time": AT, "exp_samples": expected(samples)} for expr, samples in asked]


def _instances(found: Day, alert: str) -> float:
    """How many of an alert fire: those that are told apart by server or route more than one."""
    if alert == "ServerAway":
        return sum(name.startswith("up{") and " 0x" in f" {value}" for name, value in found.series.items())
    if alert == "RequestsFail":
        return len({name for name in found.series if "_count{" in name and 'status="5' in name})
    return 1


@pytest.mark.parametrize("name", DAYS)
def test_what_has_to_alarm_does_and_nothing_else(name: str, tmp_path: Path) -> None:
    found = DAYS[name]
    tests = {
        "rule_files": [str(DEPLOY / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in found.series.items()],
                "promql_expr_test": checks(found),
            }
        ],
    }
    file = tmp_path / "day.yml"
    file.write_text(yaml.safe_dump(tests, width=1000))
    promtool("test", "rules", str(file))


def test_every_alert_has_its_bad_day_and_every_tile_a_day() -> None:
    """Who adds a rule or a query adds a day to DAYS on which it is seen."""
    assert set().union(*(found.fires for found in DAYS.values())) == ALERTS
    assert set().union(*(found.shows for found in DAYS.values())) == set(QUERIES)
    # The usual traps: what is nothing is shown as nothing, nobody's calls are no failures.
    assert {query for query in SHARES if any(found.shows.get(query) == {ALL: 0} for found in DAYS.values())} == SHARES
    assert {query for query in SHARES if any(found.shows.get(query) == {} for found in DAYS.values())} == SHARES


def test_days_without_alarms_are_some() -> None:
    assert {"a good day", "a good day with restarts", "a night without traffic", "a night after a start"} <= set(SILENT)


async def test_the_days_are_made_of_what_a_server_tells(api: Api) -> None:
    await api.get("ops-bookings")
    told = (await api.http.get("/metrics")).text
    sql = (DEPLOY.parent / "sql" / "functions" / "service_levels.sql").read_text()
    # Levels of the last hour and of the worker have no data yet.
    served = set(re.findall(r"^(\w+)[{ ]", told, re.MULTILINE)) | {
        f"ecotrips_{name}" for name in re.findall(r"'(\w+_last_hour|worker_silence_seconds)', \(", sql)
    }
    # Nobody has worked yet, so nobody is told to have done so.
    assert "ecotrips_worker_silence_seconds" not in told
    named = {name.partition("{")[0] for found in DAYS.values() for name in found.series}
    assert named - served == {"up"}  # Prometheus' own


async def test_judged_routes_tell_0_before_the_first_request(api: Api) -> None:
    """The first failures count only from a 0 on."""
    told = (await api.http.get("/metrics")).text
    judged = {
        route.replace("(stripe|wa)", name)
        for rule in RULES
        for route in re.findall(r'route=~?"([^"]+)",status', rule["expr"])
        for name in ("stripe", "wa")
    }
    assert len(judged) == 4
    for route in judged:
        for status in COUNTED_FROM_THE_START:
            assert f'ecotrips_request_seconds_count{{method="POST",route="{route}",status="{status}"}} 0.0' in told


class Away:
    """A database that fails, or that never answers."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    async def call(self, *_arguments: object) -> bytes:
        if self._failure:
            raise self._failure
        await asyncio.sleep(TIMEOUT)
        return b""


@pytest.mark.parametrize("failure", [None, Unavailable("away"), NotAllowed("a right is gone")], ids=repr)
async def test_a_server_tells_its_metrics_whatever_the_database_does(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_levels, "TIMEOUT_SECONDS", 0.1)
    levels = service_levels.PostgresServiceLevels(cast("Database", Away(failure)))
    assert await levels.now() == {"database_up": 0.0}


def test_every_alert_leads_to_a_row_of_the_guide() -> None:
    guide = (DEPLOY.parent / "docs" / "operate.md").read_text().partition("## What to do when")[2]
    rows = [line for line in guide.splitlines() if line.startswith("| ")]
    for rule in RULES:
        looked_up = re.fullmatch(r'docs/operate\.md, "(.+)"', rule["annotations"]["look"])
        assert looked_up, rule["alert"]
        assert any(looked_up[1] in row.split(" | ")[0] for row in rows), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_prometheus_takes_rules_and_configuration(tmp_path: Path) -> None:
    promtool("check", "rules", str(DEPLOY / "alerts.yml"))
    promtool("check", "config", str(installed(tmp_path, "a token")))


def test_prometheus_reads_a_server_that_wants_a_token_and_answers_the_dashboard(database: str, tmp_path: Path) -> None:
    port, secret = free_port(), "a token of this test"
    with server(database, tmp_path, METRICS_TOKEN=secret) as running:
        configuration = installed(tmp_path, secret)
        text = re.sub(
            r"targets: .*", f'targets: ["{running.address.removeprefix("http://")}"]', configuration.read_text()
        )
        configuration.write_text(text.replace("15s", "1s"))
        run = [program("prometheus", "prometheus"), f"--config.file={configuration}", "--log.level=error"]
        folders = [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen([*run, *folders], cwd=tmp_path) as prometheus:
            try:
                answered(port, "ecotrips_database_up", "1")
                answered(port, 'count(up{job="ecotrips"})', "1")
                for query in QUERIES.values():
                    found = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}).json()
                    assert found["status"] == "success", query
                running.kill()
                answered(port, "absent(ecotrips_database_up)", "1")
                answered(port, 'ALERTS{alertname="NoServerAnswers"}', "1")
            finally:
                prometheus.terminate()


def answered(port: int, query: str, value: str) -> None:
    """Once Prometheus answers `query` with one `value`."""
    found, deadline = None, time.monotonic() + TIMEOUT
    while found != value:
        assert time.monotonic() < deadline, (query, found)
        time.sleep(0.2)
        with suppress(httpx.TransportError):
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query})
            result = answer.json()["data"]["result"] if answer.is_success else []
            found = result[0]["value"][1] if len(result) == 1 else None


def installed(folder: Path, token: str) -> Path:
    """The configuration with its files in `folder` instead of /etc/prometheus."""
    (folder / "alerts.yml").write_text((DEPLOY / "alerts.yml").read_text())
    (folder / "ecotrips-metrics-token").write_text(f"{token}\n")
    configuration = folder / "prometheus.yml"
    text = (DEPLOY / "prometheus.yml").read_text()
    assert set(re.findall(r"/etc/prometheus/([\w.-]+)", text)) == {"alerts.yml", "ecotrips-metrics-token"}
    configuration.write_text(text.replace("/etc/prometheus", str(folder)))
    return configuration


def promtool(*arguments: str) -> None:
    run = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
