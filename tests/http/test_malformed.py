"""Malformed requests: each gets its documented status and code, and leaves the database as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import asyncpg
import jwt
import pytest

from tests.conftest import ANON_KEY, CHECKOUT, ITINERARY, SERVICE_KEY, Api, token
from tests.support.postgres import JWT_SECRET

WEBHOOK = {"type": "payment_intent.succeeded", "data": {"payment_id": ITINERARY, "payment_intent": "pi_mock_1"}}
NOW = datetime.now(UTC)


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in CHECKOUT.items() if key != name}).encode()


def checkout(**changes: object) -> bytes:
    return json.dumps({**CHECKOUT, **changes}).encode()


def webhook(**changes: object) -> bytes:
    return json.dumps({**WEBHOOK, **changes}).encode()


def signed(claims: Mapping[str, object], secret: str = JWT_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(dict(claims), secret, algorithm=algorithm)


@dataclass
class Sent:
    name: str
    status: int
    code: str
    function: str = "bff-checkout"
    method: str = "POST"
    body: bytes = b""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


def body(name: str, content: bytes, error: str | None = None, status: int = 400) -> Sent:
    return Sent(name, status, "INPUT_INVALID", body=content, error=error)


def event(name: str, content: bytes) -> Sent:
    return Sent(name, 400, "INPUT_INVALID", "stripe-webhook", body=content)


def query(name: str, text: str, error: str | None = None, function: str = "ops-bookings") -> Sent:
    return Sent(name, 400, "INPUT_INVALID", function, "GET", query=text, error=error)


def caller(name: str, **headers: str) -> Sent:
    sent = {key: value for key, value in headers.items() if value}
    return Sent(name, 401, "AUTH_REQUIRED", body=checkout(), headers={"apikey": "", **sent})


UNSIGNED = "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIn0."
EXPIRED = token("authenticated", ITINERARY, exp=NOW - timedelta(seconds=2))

REQUESTS = [
    body("broken JSON", b'{"itinerary_id":', "The body is not valid JSON"),
    body("trailing garbage", checkout() + b"x"),
    body("two documents", checkout() + checkout()),
    body("a list", b"[]", "The body must be a JSON object"),
    body("a number", b"1"),
    body("null", b"null"),
    body("NaN", b'{"itinerary_id":"x","amount_cents":NaN,"currency":"USD"}'),
    body("Infinity", b'{"amount_cents":Infinity}'),
    body("not UTF-8", b'{"currency":"\xff"}'),
    body("byte order mark", b"\xef\xbb\xbf" + checkout()),
    body("single quotes", b"{'currency':'USD'}"),
    body("deep nesting", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    body("deep lists", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    body("lists 65 deep", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "JSON may be nested at most 64 deep"),
    body("a declared field 490 deep", checkout(currency=0)[:-2] + b"[" * 490 + b"]" * 490 + b"}"),
    body(
        "10,001 keys",
        json.dumps(dict.fromkeys(map(str, range(10_001)))).encode(),
        "A JSON object may have at most 10,000 keys",
    ),
    body("10,001 keys, nested", json.dumps({"a": [dict.fromkeys(map(str, range(10_001)))]}).encode()),
    body("100,001 values", json.dumps({"a": [0] * 100_000}).encode(), "JSON may hold at most 100,000 values"),
    body(
        "the last of 10,000 keys twice",
        b"{" + b",".join(b'"k%d":0' % key for key in [*range(9_999), 9_998]) + b"}",
        "k9998 is given twice",
    ),
    body("duplicate key", checkout()[:-1] + b',"amount_cents":1}', "amount_cents is given twice"),
    body("duplicate unknown key", checkout()[:-1] + b',"x":1,"x":2}'),
    body("empty object", b"{}", "itinerary_id must be a valid UUID"),
    body("no itinerary", without("itinerary_id"), "itinerary_id must be a valid UUID"),
    body("no amount", without("amount_cents"), "amount_cents must be a positive integer"),
    body("no currency", without("currency"), "currency must be USD|EUR|RWF"),
    body("null itinerary", checkout(itinerary_id=None)),
    body("itinerary is a number", checkout(itinerary_id=7)),
    body("itinerary is no UUID", checkout(itinerary_id="11111111-1111-4111-8111-11111111111")),
    body("itinerary with braces", checkout(itinerary_id=f"{{{ITINERARY}}}")),
    body("itinerary with SQL", checkout(itinerary_id="' or 1=1 --")),
    body("itinerary with NUL", checkout(itinerary_id=f"{ITINERARY}\0")),
    body("amount as text", checkout(amount_cents="15000"), "amount_cents must be a positive integer"),
    body("amount true", checkout(amount_cents=True), "amount_cents must be a positive integer"),
    body("amount fraction", checkout(amount_cents=1.5)),
    body("amount zero", checkout(amount_cents=0)),
    body("amount negative", checkout(amount_cents=-1)),
    body("amount over the ceiling", checkout(amount_cents=10**12 + 1)),
    body("amount over 64 bits", checkout(amount_cents=2**64)),
    body("amount of 5,000 digits", b'{"amount_cents":' + b"9" * 5000 + b"}"),
    body("amount in exponent form", b'{"amount_cents":1e999}'),
    body("amount a list", checkout(amount_cents=[1])),
    body("amount an object", checkout(amount_cents={"value": 1})),
    body("unknown currency", checkout(currency="GBP"), "currency must be USD|EUR|RWF"),
    body("currency a number", checkout(currency=840)),
    body("currency empty", checkout(currency="")),
    body("currency with NUL", checkout(currency="USD\0")),
    body("currency with look-alike letters", checkout(currency="\uff35\uff33\uff24")),
    body("lone surrogate", b'{"itinerary_id":"\\ud800","amount_cents":1,"currency":"USD"}'),
    body("lone surrogate in a valid field", checkout()[:-1] + b',"idempotency_key":"\\udfff"}'),
    body("empty key", checkout(idempotency_key="")),
    body("blank key", checkout(idempotency_key="   ")),
    body("key of 65 characters", checkout(idempotency_key="k" * 65)),
    body("key a number", checkout(idempotency_key=1)),
    body("body of 2 MiB", b'{"x":"' + b"x" * 2**21 + b'"}', status=413),
    Sent("form", 415, "INPUT_INVALID", body=b"a=1", headers={"content-type": "application/x-www-form-urlencoded"}),
    Sent("XML", 415, "INPUT_INVALID", body=b"<a/>", headers={"content-type": "text/xml"}),
    Sent("GET of a POST", 405, "INPUT_INVALID", method="GET"),
    Sent("PUT of a POST", 405, "INPUT_INVALID", method="PUT", body=checkout()),
    Sent("DELETE of a POST", 405, "INPUT_INVALID", method="DELETE"),
    Sent("POST of a GET", 405, "INPUT_INVALID", "ops-bookings", body=b"{}"),
    Sent("unknown function", 404, "NOT_FOUND", "ops-nothing", body=b"{}"),
    Sent("path tricks", 404, "NOT_FOUND", "../functions/v1/none", body=b"{}"),
    Sent("empty Idempotency-Key", 400, "INPUT_INVALID", body=checkout(), headers={"idempotency-key": ""}),
    Sent("long Idempotency-Key", 400, "INPUT_INVALID", body=checkout(), headers={"idempotency-key": "k" * 256}),
    Sent("Idempotency-Key with a blank", 400, "INPUT_INVALID", body=checkout(), headers={"idempotency-key": "a b"}),
    event("event 490 deep", b'{"type":"a","data":' + b'{"object":' * 490 + b"1" + b"}" * 491),
    event("event without type", webhook(type=None)),
    event("event type a number", webhook(type=5)),
    event("event without data", webhook(data=None)),
    event("event data a list", webhook(data=[])),
    event("event data empty", webhook(data={})),
    event("event with half the ids", webhook(data={"payment_id": ITINERARY})),
    event("event with a bad payment", webhook(data={"payment_id": "x", "payment_intent": "pi"})),
    query("from is no date", "from=yesterday", "Invalid from date"),
    query("from does not exist", "from=2025-02-30", "Invalid from date"),
    query("from has a time", "from=2025-10-01T00:00:00Z", "Invalid from date"),
    query("from in the year 0", "from=0000-01-01", "Invalid from date"),
    query("from in the year 99999", "from=99999-01-01", "Invalid from date"),
    query("to is no date", "to=2025-13-01", "Invalid to date"),
    query("from after to", "from=2025-10-02&to=2025-10-01", "from must not be after to"),
    query("supplier of 65 characters", f"supplier={'s' * 65}", "supplier must be <= 64 characters"),
    query("supplier with NUL", "supplier=%00"),
    query("supplier not UTF-8", "supplier=%ff"),
    query("page zero", "page=0"),
    query("page negative", "page=-1"),
    query("page a word", "page=one"),
    query("page a fraction", "page=1.5"),
    query("page beyond all", "page=99999999999999999999"),
    query("page_size zero", "page_size=0"),
    query("page_size 101", "page_size=101"),
    query("from given twice", "from=2025-10-01&from=2025-10-02", "from is given twice"),
    query("a hundred parameters", "&".join(f"p{n}=1" for n in range(100))),
    query("unknown status", "status=broken", "status must be one of open|retrying|resolved", "ops-exceptions"),
    caller("no key at all"),
    caller("garbage apikey", apikey="abc"),
    caller("unsigned apikey", apikey=UNSIGNED),
    caller(
        "apikey of another secret", apikey=signed({"role": "service_role"}, "another-secret-that-is-also-long-enough")
    ),
    caller("apikey with an altered payload", apikey=ANON_KEY.split(".")[0] + "." + ANON_KEY.split(".")[1][::-1] + ".x"),
    caller("apikey of another algorithm", apikey=signed({"role": "anon"}, JWT_SECRET * 2, "HS512")),
    caller("a user's token as apikey", apikey=token("authenticated", ITINERARY)),
    caller("expired bearer", apikey=ANON_KEY, authorization=f"Bearer {EXPIRED}"),
    caller("unsigned bearer", apikey=ANON_KEY, authorization=f"Bearer {UNSIGNED}"),
    caller("bearer without role", apikey=ANON_KEY, authorization=f"Bearer {signed({'sub': ITINERARY})}"),
    caller("bearer with a made-up role", authorization=f"Bearer {signed({'role': 'postgres'})}"),
    caller("user without sub", authorization=f"Bearer {signed({'role': 'authenticated', 'exp': NOW + timedelta(1)})}"),
    caller("user without exp", authorization=f"Bearer {signed({'role': 'authenticated', 'sub': ITINERARY})}"),
    caller("user whose sub is no uuid", authorization=f"Bearer {token('authenticated', 'me')}"),
    caller("bearer of tomorrow", authorization=f"Bearer {token('authenticated', ITINERARY, nbf=NOW + timedelta(1))}"),
    caller("basic authorization", apikey=ANON_KEY, authorization="Basic YTpi"),
    caller("empty bearer", apikey=ANON_KEY, authorization="Bearer "),
    caller("good bearer, bad apikey", apikey="abc", authorization=f"Bearer {SERVICE_KEY}"),
]

CONTENTS = """
select (select count(*) from payment.payments), (select count(*) from fin.entries), (select count(*) from audit.events),
       (select count(*) from payment.webhook_events), (select count(*) from ops.exceptions),
       (select count(*) from ops.idempotency_keys where status is not null)
"""


async def test_every_malformed_request_gets_its_answer_and_changes_nothing(api: Api, admin: asyncpg.Connection) -> None:
    before = await admin.fetchrow(CONTENTS)
    faults = []
    for sent in REQUESTS:
        headers = {"content-type": "application/json", "apikey": ANON_KEY} | dict(sent.headers)
        answer = await api.http.request(
            sent.method,
            f"/functions/v1/{sent.function}?{sent.query}",
            content=sent.body,
            headers={name: value for name, value in headers.items() if value or name == "idempotency-key"},
        )
        seen = answer.json()
        if (answer.status_code, seen["code"], seen["ok"]) != (sent.status, sent.code, False):
            faults.append(f"{sent.name}: {answer.status_code} {answer.text[:120]}")
        elif sent.error and seen["error"] != sent.error:
            faults.append(f"{sent.name}: {seen['error']}")
        assert seen["request_id"] == answer.headers["x-request-id"]
        assert seen["errors"][0] == seen["error"]
    assert faults == []
    assert await admin.fetchrow(CONTENTS) == before


async def test_every_fault_of_the_input_is_listed_in_field_order(api: Api) -> None:
    answer = await api.post("bff-checkout", {"currency": "GBP", "amount_cents": "1", "itinerary_id": "x"})
    assert answer.json()["errors"] == [
        "itinerary_id must be a valid UUID",
        "amount_cents must be a positive integer",
        "currency must be USD|EUR|RWF",
    ]


async def test_unknown_fields_are_ignored_and_text_is_trimmed(api: Api) -> None:
    answer = await api.post("bff-checkout", CHECKOUT | {"currency": " usd ", "comment": "\0"})
    assert answer.status_code == 200
    assert answer.json()["currency"] == "USD"


async def test_a_host_that_is_none_is_refused(api: Api) -> None:
    answer = await api.get("ops-bookings", headers=api.anonymous | {"host": "ops.example/evil"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INPUT_INVALID")


async def test_a_slash_at_the_end_of_a_path_changes_nothing(api: Api) -> None:
    answers = [await api.get(f"ops-bookings{end}") for end in ("", "/")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["data"] == answers[1].json()["data"]


async def test_a_wrong_method_says_which_one_is_right(api: Api) -> None:
    answer = await api.get("bff-checkout")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128])
async def test_a_valid_request_id_is_kept(api: Api, given: str) -> None:
    answer = await api.get("ops-bookings", headers=api.anonymous | {"x-request-id": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["x" * 129, "a b", "a|b", "é"])
async def test_an_invalid_request_id_is_replaced(api: Api, given: str) -> None:
    answer = await api.get(
        "ops-bookings", headers=cast("dict[str, str]", {b"apikey": ANON_KEY.encode(), b"x-request-id": given.encode()})
    )
    assert answer.status_code == 200
    assert answer.json()["request_id"] not in ("", given)


@pytest.mark.parametrize(
    "time",
    [
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T12:00:00-12:00",
        "0001-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+23:59",
    ],
)
async def test_a_time_that_is_none_in_utc_is_a_fault_of_the_input(api: Api, time: str) -> None:
    escrow = {"group_id": ITINERARY, "target_cents": 100, "deadline": time}
    fact = {"payment_id": ITINERARY, "entry_type": "fee_charged", "amount_cents": 1, "provider_ref": "x"}
    for answer, name in (
        (await api.post("groups-create-escrow", escrow, api.user()), "deadline"),
        (await api.post("groups-create-escrow", escrow | {"currency": "XXX"}, api.user()), "deadline"),
        (await api.post("fin-ledger-append", fact | {"occurred_at": time}, api.service), "occurred_at"),
    ):
        assert answer.status_code == 400
        assert f"{name} must be an ISO 8601 time with a zone" in answer.json()["errors"]
