"""Events as the provider makes, versions, orders, repeats and signs them."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from tests.fakes.stripe.answers import Json

NEWEST = "2026-10-28.endive"
# Before this version, refunds of charges have no refund.* events (Changelog: Adds created, updated, and failed events
# for all refund types).
REFUND_EVENTS_SINCE = "2024-10-28"
# Before this version, a charge holds its refunds (Changelog: The Charges object no longer auto-expands refunds).
REFUNDS_IN_CHARGE_UNTIL = "2022-11-15"
# What an endpoint is told of unless it asks for other types (API reference: Webhook Endpoints, enabled_events).
ENABLED = frozenset(
    {
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.refunded",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
        "refund.created",
        "refund.failed",
        "refund.updated",
    }
)


def snapshot(kind: str, subject: Json, version: str, created: int, before: Json | None = None) -> Json:
    """An event holds its object as it was then (How events work: snapshot events)."""
    data = {"object": subject, **({"previous_attributes": before} if before else {})}
    event = {"object": "event", "type": kind, "api_version": version, "created": created, "livemode": False}
    return event | {"data": json.loads(json.dumps(data)), "pending_webhooks": 1}


def known_in(kind: str, version: str) -> bool:
    return not kind.startswith("refund.") or version >= REFUND_EVENTS_SINCE


def thin(event: Json) -> Json:
    """The same event without its object, which has to be fetched (The Event object, API v2; How events work)."""
    subject = event["data"]["object"]
    kind = f"v1.{event['type']}"
    related = {"id": subject["id"], "type": subject["object"], "url": f"/v1/{subject['object']}s/{subject['id']}"}
    created = datetime.fromtimestamp(event["created"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": event["id"],
        "object": "v2.core.event",
        "type": kind,
        "created": created,
        "livemode": False,
        "context": None,
        "reason": None,
        "related_object": related,
    }


def queued(
    events: Iterable[Json], order: str = "shuffled", times: int = 1, late: int = 0, *, thinly: bool = False
) -> list[Json]:
    """What an endpoint is sent: in any order and more than once (Webhooks: event ordering, duplicate events)."""
    sent = [{**event, "created": event["created"] - late} for event in events] * times
    if order == "shuffled":
        random.shuffle(sent)
    if order == "backwards":
        sent.reverse()
    return [thin(event) for event in sent] if thinly else sent


def signed(event: Json, *secrets: str, at: float | None = None) -> Json:
    """An event as an HTTP client sends it: body and headers, signed with each secret (Webhooks: verify manually)."""
    body = json.dumps(event).encode()
    timestamp = str(int(time.time() if at is None else at))
    made = [hmac.new(s.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest() for s in secrets]
    signature = ",".join([f"t={timestamp}", *(f"v1={one}" for one in made)])
    return {"content": body, "headers": {"stripe-signature": signature, "content-type": "application/json"}}
