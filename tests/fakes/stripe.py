"""Stripe as it behaves, in one process: idempotency, ceilings, events, lost answers. By hand:

python -m tests.fakes.stripe 8420
STRIPE_MOCK_MODE=0 STRIPE_SECRET_KEY=sk_test STRIPE_WEBHOOK_SECRET=whsec_1 STRIPE_API_BASE=http://127.0.0.1:8420 \\
  make run
curl -d fail=503 127.0.0.1:8420/_ctl/next        # the next call fails (hang_up: works, then the answer is lost)
curl -d payment_method=pm_card_visa -u sk_test: 127.0.0.1:8420/v1/payment_intents/<id>/confirm
curl -d url=http://127.0.0.1:8000/functions/v1/stripe-webhook -d secret=whsec_1 127.0.0.1:8420/_ctl/deliver

What is delivered are all events, shuffled: `-d times=2` each so often, `-d late=7200` dated so many seconds back, and
`-d secret=whsec_1,whsec_2` signed with both, as while a secret is rotated.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import re
import sys
import time
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx

from src.settings import OFFLINE_SWITCHES
from tests.fakes.wire import Reply, Request, deep, listening

KEPT_SECONDS = 24 * 3600
DECLINED = 402
Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, kind: str, code: str, message: str = "no") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message}}


@dataclass
class Kept:
    """A request of an idempotency key; `reply` is None while it runs."""

    asked: tuple[str, str]
    at: float
    reply: Reply | None = None


UNREADABLE: dict[int | str, bytes] = {"deep": deep(), "nonsense": b"<html>"}


@dataclass
class FakeStripe:
    """`plan` says what happens to the next calls that are not replays, one entry a call:

    a status (fails before it works), "hang_up" (the answer is lost after the work), "hang_up_before", "deep" or
    "nonsense" (an answer that nobody can read, after the work), or "ok".
    The next `lost_answers` answers, also of replays, are lost after the work.
    """

    clock: Callable[[], float] = time.time
    delay: float = 0.0
    plan: deque[int | str] = field(default_factory=deque)
    intents: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    disputes: dict[str, Json] = field(default_factory=dict)
    transfers: dict[str, Json] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
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
        if known is not None and self.clock() - known.at < KEPT_SECONDS:
            return self._replayed(known, asked)
        kept = Kept(asked, self.clock())
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
        try:
            reply = Reply(200, self._work(request, unflattened(request.body)), (("request-id", new_id("req")),))
        except Refused as refused:
            reply = Reply(refused.status, refused.body)
        kept.reply = reply
        self.reached.set()
        if self.held is not None:
            await self.held.wait()
        if planned in UNREADABLE:
            return Reply(200, UNREADABLE[planned])
        return Reply(0, None, hang_up=True) if planned == "hang_up" else reply

    @staticmethod
    def _replayed(known: Kept, asked: tuple[str, str]) -> Reply:
        if known.asked != asked:
            return Reply(400, error("idempotency_error"))
        if known.reply is None:
            return Reply(409, error("idempotency_error", "idempotency_key_in_use"))
        return Reply(known.reply.status, known.reply.body, (("idempotent-replayed", "true"),))

    def _work(self, request: Request, given: Json) -> Json:
        path = request.path.removeprefix("/v1/")
        made = {
            "payment_intents": self._create_intent,
            "refunds": self._create_refund,
            "transfers": self._create_transfer,
        }
        listed = {"payment_intents": self.intents, "refunds": self.refunds, "transfers": self.transfers}
        if request.method == "POST" and path in made:
            return made[path](given)
        if path in listed:
            return self._listed(request, listed[path])
        if found := re.fullmatch(r"payment_intents/(pi_\w+)(?:/(confirm|cancel))?", path):
            intent = self._found(self.intents, found[1])
            match found[2]:
                case "confirm":
                    return self.confirm(intent["id"], given.get("payment_method", "pm_card_visa"))
                case "cancel":
                    return self.cancel(intent["id"])
            return intent
        if found := re.fullmatch(r"refunds/(re_\w+)", path):
            return self._found(self.refunds, found[1])
        raise Refused(404, "invalid_request_error", "resource_missing")

    def _create_intent(self, given: Json) -> Json:
        amount, currency = int(given.get("amount", "0")), given.get("currency", "")
        if amount < 1 or currency not in ("usd", "eur", "rwf"):
            raise Refused(400, "invalid_request_error", "parameter_invalid_integer")
        identity = new_id("pi")
        self.intents[identity] = {
            "id": identity,
            "object": "payment_intent",
            "created": int(self.clock()),
            "amount": amount,
            "amount_received": 0,
            "currency": currency,
            "status": "requires_payment_method",
            "client_secret": f"{identity}_secret_{new_id('x')}",
            "metadata": given.get("metadata", {}),
        }
        return self.intents[identity]

    def confirm(self, intent_id: str, method: str = "pm_card_visa", received: int | None = None) -> Json:
        """The customer pays; we are given it all, or `received` of it."""
        intent = self.intents[intent_id]
        if intent["status"] in ("succeeded", "canceled"):
            raise Refused(400, "invalid_request_error", "payment_intent_unexpected_state")
        if method == "pm_card_visa_chargeDeclined":
            self._happened("payment_intent.payment_failed", intent)
            raise Refused(402, "card_error", "card_declined")
        intent |= {"status": "succeeded", "amount_received": received or intent["amount"], "payment_method": method}
        self._happened("payment_intent.succeeded", intent)
        return intent

    def cancel(self, intent_id: str) -> Json:
        """Nobody pays any more."""
        intent = self.intents[intent_id]
        if intent["status"] in ("succeeded", "canceled"):
            raise Refused(400, "invalid_request_error", "payment_intent_unexpected_state")
        intent["status"] = "canceled"
        self._happened("payment_intent.canceled", intent)
        return intent

    def _create_refund(self, given: Json) -> Json:
        intent = self._found(self.intents, given.get("payment_intent", ""))
        left = intent["amount_received"] - self.refunded(intent["id"])
        amount = int(given.get("amount", left))
        if any(d["payment_intent"] == intent["id"] and d["status"] != "won" for d in self.disputes.values()):
            raise Refused(400, "invalid_request_error", "charge_disputed")
        if left == 0:
            raise Refused(400, "invalid_request_error", "charge_already_refunded")
        if not 0 < amount <= left:
            raise Refused(400, "invalid_request_error", "amount_too_large")
        refund = {
            "id": new_id("re"),
            "object": "refund",
            "created": int(self.clock()),
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "status": "pending" if intent.get("payment_method") == "pm_card_pendingRefund" else "succeeded",
            "metadata": given.get("metadata", {}),
        }
        self.refunds[refund["id"]] = refund
        charge = {"id": f"ch{intent['id'][2:]}", "object": "charge", "amount": intent["amount_received"]}
        shared = {name: intent[name] for name in ("currency", "metadata")}
        self._happened(
            "charge.refunded",
            charge | shared | {"payment_intent": intent["id"], "amount_refunded": self.refunded(intent["id"])},
        )
        self._happened("refund.created", refund)
        return refund

    def _create_transfer(self, given: Json) -> Json:
        amount, destination = int(given.get("amount", "0")), given.get("destination", "")
        if amount < 1:
            raise Refused(400, "invalid_request_error", "parameter_invalid_integer")
        if not destination.startswith("acct_"):
            raise Refused(400, "invalid_request_error", "account_invalid")
        made = {"metadata": {}, **given, "id": new_id("tr"), "object": "transfer", "amount": amount, "reversed": False}
        made["created"] = int(self.clock())
        self.transfers[made["id"]] = made
        return made

    def refund_in_dashboard(self, intent_id: str, amount: int) -> Json:
        return self._create_refund({"payment_intent": intent_id, "amount": str(amount)})

    def end_refund(self, refund_id: str, status: str) -> None:
        """The bank decides, also days later."""
        refund = self.refunds[refund_id]
        refund["status"] = status
        self._happened("refund.failed" if status == "failed" else "refund.updated", refund)

    def dispute(self, intent_id: str, status: str = "needs_response", identity: str | None = None) -> Json:
        """Opened, or with its identity and an end (won, lost) closed."""
        intent = self.intents[intent_id]
        found = {
            "id": identity or new_id("du"),
            "object": "dispute",
            "amount": intent["amount"],
            "currency": intent["currency"],
            "payment_intent": intent_id,
            "status": status,
        }
        self.disputes[found["id"]] = found
        self._happened("charge.dispute.closed" if identity else "charge.dispute.created", found)
        return found

    def refunded(self, intent_id: str) -> int:
        return sum(
            r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent_id and r["status"] != "failed"
        )

    def _happened(self, kind: str, subject: Json) -> None:
        self.events.append(
            {
                "id": new_id("evt"),
                "object": "event",
                "type": kind,
                "created": int(self.clock()) + len(self.events),
                "livemode": False,
                "data": {"object": json.loads(json.dumps(subject))},
            }
        )

    @staticmethod
    def _listed(request: Request, table: dict[str, Json]) -> Json:
        since = int(request.query.get("created[gte]", "0"))
        by = {name: request.query[name] for name in ("payment_intent", "transfer_group") if name in request.query}
        mine = [one for one in table.values() if one["created"] >= since and by.items() <= one.items()]
        return {"object": "list", "data": mine, "has_more": False, "url": request.path}

    @staticmethod
    def _found(table: dict[str, Json], identity: str) -> Json:
        if identity not in table:
            raise Refused(404, "invalid_request_error", "resource_missing")
        return table[identity]

    async def _control(self, request: Request) -> Reply:
        given = unflattened(request.body)
        if request.path == "/_ctl/next":
            self.plan.append(int(given["fail"]) if given["fail"].isdigit() else given["fail"])
            return Reply(200, {"plan": list(self.plan)})
        late, secrets = int(given.get("late", "0")), given["secret"].split(",")
        events = [{**event, "created": event["created"] - late} for event in self.events] * int(given.get("times", "1"))
        random.shuffle(events)
        async with httpx.AsyncClient() as client:
            sent = [await client.post(given["url"], **signed(event, *secrets)) for event in events]
        return Reply(200, {"answers": [answer.status_code for answer in sent]})


def live_settings(address: str, **changes: object) -> dict[str, object]:
    """Settings of a service whose Stripe listens there."""
    switches = {**OFFLINE_SWITCHES, "STRIPE_MOCK_MODE": "0"}
    return {"switches": switches, "stripe_secret_key": "sk_test", "stripe_api_base": address, **changes}


def signed(event: Json, *secrets: str, at: float | None = None) -> Json:
    """An event as an HTTP client sends it: body and headers, signed with each secret."""
    body = json.dumps(event).encode()
    timestamp = str(int(time.time() if at is None else at))
    made = [hmac.new(s.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest() for s in secrets]
    signature = ",".join([f"t={timestamp}", *(f"v1={one}" for one in made)])
    return {"content": body, "headers": {"stripe-signature": signature, "content-type": "application/json"}}


def secret_key(authorization: str) -> str:
    """The SDK sends it as a bearer, curl -u as a user without a password."""
    kind, _, given = authorization.partition(" ")
    return b64decode(given).decode().partition(":")[0] if kind == "Basic" else given


def unflattened(body: bytes) -> Json:
    """`metadata[payment_id]=x` as {"metadata": {"payment_id": "x"}}."""
    found: Json = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        outer, _, inner = name.partition("[")
        if inner:
            found.setdefault(outer, {})[inner.rstrip("]")] = value
        else:
            found[outer] = value
    return found


def error(kind: str, code: str = "") -> Json:
    return {"error": {"type": kind, "message": "no", **({"code": code} if code else {})}}


def new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex[:20]}"


async def main(port: int) -> None:
    async with listening(FakeStripe(), port) as address:
        print(address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8420))
