"""The API over HTTP: idempotency, failures that were asked for, lists, and the control calls."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from src.settings import OFFLINE_SWITCHES
from tests.fakes.stripe.answers import INVALID, Json, Refused, error, found, new_id, secret_key, unflattened
from tests.fakes.stripe.events import queued, signed
from tests.fakes.stripe.transfers import Transfers
from tests.fakes.wire import Reply, Request, deep

KEPT_SECONDS = 24 * 3600
DECLINED = 402
UNREADABLE: dict[int | str, bytes] = {"deep": deep(), "nonsense": b"<html>"}
# What happens at the provider without a call of ours, as control calls with the parameters of the methods.
ACTS = frozenset(
    {
        "advance",
        "authenticate",
        "dispute",
        "end_refund",
        "expire",
        "fail_payout",
        "refund_in_dashboard",
    }
)
LIST_LIMIT = 10
FILTERS = frozenset(
    {"charge", "currency", "destination", "payment_intent", "source", "status", "transfer_group", "type"}
)


@dataclass
class Kept:
    """A request of an idempotency key; `reply` is None while it runs."""

    asked: tuple[str, str]
    at: float
    reply: Reply | None = None


@dataclass
class FakeStripe(Transfers):
    """`plan` says what happens to the next calls that are not replays, one entry a call:

    a status (fails before it works), "error" (fails after it began), "hang_up" (the answer is lost after the work),
    "hang_up_before", "deep" or "nonsense" (an answer that nobody can read, after the work), or "ok".
    The next `lost_answers` answers, also of replays, are lost after the work.
    """

    delay: float = 0.0
    plan: deque[int | str] = field(default_factory=deque)
    keys: dict[str, Kept] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None
    lost_answers: int = 0

    async def __call__(self, request: Request) -> Reply:
        if request.path.startswith("/_ctl/"):
            return await self._control(request)
        reply = await self._answered(request)
        if self.lost_answers:
            self.lost_answers -= 1
            return Reply(0, None, hang_up=True)
        return reply

    async def _answered(self, request: Request) -> Reply:
        self.calls.append((request.method, request.path))
        if not secret_key(request.headers.get("authorization", "")).startswith("sk_"):
            return Reply(401, {"error": {"type": "invalid_request_error", "message": "No API key"}})
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        asked = (request.path, request.body.decode())
        known = self.keys.get(key) if key else None
        if known is not None and self.now() - known.at < KEPT_SECONDS:
            return self._replayed(known, asked)
        kept = Kept(asked, self.now())
        if key:
            self.keys[key] = kept
        planned = self.plan.popleft() if self.plan else "ok"
        if isinstance(planned, int) or planned == "hang_up_before":
            self.keys.pop(key or "", None)
            return Reply(
                planned if isinstance(planned, int) else 0,
                error("card_error", "card_declined") if planned == DECLINED else error("api_error"),
                hang_up=isinstance(planned, str),
            )
        if self.delay:
            await asyncio.sleep(self.delay)
        kept.reply = reply = self._worked(request, key or "", planned)
        self.reached.set()
        if self.held is not None:
            await self.held.wait()
        if planned in UNREADABLE:
            return Reply(200, UNREADABLE[planned])
        return Reply(0, None, hang_up=True) if planned == "hang_up" else reply

    def _worked(self, request: Request, key: str, planned: str) -> Reply:
        """The result of a request that failed validation is not kept, any other is (Idempotent requests)."""
        if planned == "error":
            return Reply(500, error("api_error"))
        try:
            return Reply(200, self._work(request, unflattened(request.body)), (("request-id", new_id("req")),))
        except Refused as refused:
            if refused.code.startswith("parameter_"):
                self.keys.pop(key, None)
            return Reply(refused.status, refused.body)

    @staticmethod
    def _replayed(known: Kept, asked: tuple[str, str]) -> Reply:
        """Other parameters are refused, and so is a key in use (Idempotent requests; Error codes)."""
        if known.asked != asked:
            return Reply(400, error("idempotency_error"))
        if known.reply is None:
            return Reply(409, error("idempotency_error", "idempotency_key_in_use"))
        return Reply(known.reply.status, known.reply.body, (("idempotent-replayed", "true"),))

    def _work(self, request: Request, given: Json) -> Json:
        self.settle()
        path = request.path.removeprefix("/v1/")
        tables = {
            "balance_transactions": self.transactions,
            "charges": self.charges,
            "disputes": self.disputes,
            "events": self.history,
            "payment_intents": self.intents,
            "payouts": self.payouts,
            "refunds": self.refunds,
            "transfers": self.transfers,
        }
        table, _, identity = path.partition("/")
        if request.method == "POST":
            return self._done(path, given)
        if path == "balance":
            return self.balance()
        if path in tables:
            return listed(request, tables[path])
        return found(tables.get(table, {}), identity)

    def _done(self, path: str, given: Json) -> Json:
        made: dict[str, Callable[[Json], Json]] = {
            "payment_intents": self._create_intent,
            "payouts": self._create_payout,
            "refunds": self._create_refund,
            "transfers": self._create_transfer,
        }
        if path in made:
            return made[path](given)
        acts: dict[str, Callable[[str], Json]] = {
            "disputes/close": self.close_dispute,
            "payment_intents/cancel": lambda one: self.cancel(one, given.get("cancellation_reason", "")),
            "payment_intents/confirm": lambda one: self.confirm(one, given.get("payment_method", "pm_card_visa")),
            "payouts/cancel": self.cancel_payout,
            "refunds/cancel": self.cancel_refund,
            "transfers/reversals": lambda one: self.reverse_transfer(one, given.get("amount", "")),
        }
        asked = re.fullmatch(r"(\w+)/(\w+)/(\w+)", path)
        if asked is None or f"{asked[1]}/{asked[3]}" not in acts:
            raise Refused(404, INVALID, "resource_missing")
        return acts[f"{asked[1]}/{asked[3]}"](asked[2])

    async def _control(self, request: Request) -> Reply:
        given, act = unflattened(request.body), request.path.removeprefix("/_ctl/")
        if act in ACTS:
            numbers = {name: int(value) if value.isdigit() else value for name, value in given.items()}
            try:
                return Reply(200, getattr(self, act)(**numbers))
            except Refused as refused:
                return Reply(refused.status, refused.body)
        if act == "next":
            self.plan.append(int(given["fail"]) if given["fail"].isdigit() else given["fail"])
            return Reply(200, {"plan": list(self.plan)})
        events = queued(
            self.events,
            given.get("order", "shuffled"),
            int(given.get("times", "1")),
            int(given.get("late", "0")),
            thinly="thin" in given,
        )
        secrets = given["secret"].split(",")
        async with httpx.AsyncClient() as client:
            sent = [await client.post(given["url"], **signed(event, *secrets)) for event in events]
        return Reply(200, {"answers": [answer.status_code for answer in sent]})


def listed(request: Request, table: dict[str, Json]) -> Json:
    """A page, newest first, after the object that is named (API reference: Pagination)."""
    query = request.query
    by = {name: query[name] for name in FILTERS & query.keys()}
    since, until = int(query.get("created[gte]", "0")), int(query.get("created[lt]", "9" * 12))
    mine = [one for one in reversed(table.values()) if since <= one["created"] < until and by.items() <= one.items()]
    limit = int(query.get("limit", LIST_LIMIT))
    if not 1 <= limit <= 100:
        raise Refused(400, INVALID, "parameter_invalid_integer")
    if after := query.get("starting_after"):
        found(table, after)
        places = [place for place, one in enumerate(mine) if one["id"] == after]
        mine = mine[places[0] + 1 :] if places else []
    return {"object": "list", "data": mine[:limit], "has_more": len(mine) > limit, "url": request.path}


def live_settings(address: str, **changes: object) -> dict[str, object]:
    """Settings of a service whose Stripe listens there."""
    switches = {**OFFLINE_SWITCHES, "STRIPE_MOCK_MODE": "0"}
    return {"switches": switches, "stripe_secret_key": "sk_test", "stripe_api_base": address, **changes}
