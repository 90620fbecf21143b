"""`wa-send` and `wa-webhook` against a faithful Cloud API: one message each, whatever gets lost, no secrets told."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.conftest import OPS_USER, Api, serving
from tests.fakes.whatsapp import FakeWhatsApp
from tests.fakes.wire import listening
from tests.support.messaging import LIVE, NUMBER, events, live_settings, work

LINK = "https://ecotrips.example/storage/v1/object/sign/invoices/x.pdf?token=very-secret"
NOTICE = {"type": "link_notice", "to": f"+{NUMBER}", "text": "Your ecoTrips invoice", "url": LINK}


@pytest.fixture
def fake() -> FakeWhatsApp:
    return FakeWhatsApp()


@pytest.fixture
async def live(database: str, fake: FakeWhatsApp) -> AsyncIterator[Api]:
    async with listening(fake) as address, serving(database, **live_settings(fake, address)) as api:
        yield api


async def sent(api: Api, **changes: object) -> dict[str, Any]:
    answer = await api.post("wa-send", {**NOTICE, **changes}, api.service)
    return {"http": answer.status_code, **answer.json()}


async def test_offline_a_message_is_stored_and_logged_as_mock(
    api: Api, admin: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await sent(api)
    assert (answer["http"], answer["mode"], answer["status"]) == (200, "mock", "sent")
    assert answer["message_id"] == f"wamid.mock-{answer['id']}"
    assert await admin.fetchval("select body || ' ' || url from wa.messages") == f"Your ecoTrips invoice {LINK}"
    assert f"message={answer['id']} mode=mock status=sent" in capfd.readouterr().out


async def test_the_switch_decides_for_each_message(api: Api, admin: asyncpg.Connection) -> None:
    await admin.execute("insert into ops.flags (name, value, updated_by) values ('WA_OFFLINE', '0', 'test')")
    answer = await sent(api)
    # No token is set, so nothing can be sent, and nothing pretends that it was.
    assert (answer["http"], answer["code"]) == (502, "SUPPLIER_TIMEOUT")
    assert await admin.fetchval("select mode || ' ' || status from wa.messages") == "live failed"


async def test_a_live_message_climbs_its_ladder(live: Api, fake: FakeWhatsApp, admin: asyncpg.Connection) -> None:
    answer = await sent(live)
    assert (answer["http"], answer["mode"], answer["status"]) == (200, "live", "sent")
    assert answer["message_id"] == fake.taken[0]["id"]
    assert fake.taken[0]["type"] == "template"  # the traveller has not written within 24 hours
    for body in fake.reports(random.Random(3)):
        assert (await events(live, body, fake.signature(body))).status_code == 200
    assert await admin.fetchval("select status from wa.messages") == "read"


async def test_within_24_hours_of_the_travellers_message_a_link_is_free_text(live: Api, fake: FakeWhatsApp) -> None:
    body = fake.inbound(NUMBER, "Murakoze 🙏 à bientôt, ñandú")
    assert (await events(live, body, fake.signature(body))).json()["messages"] == 1
    await sent(live)
    assert fake.taken[0]["text"]["body"] == f"Your ecoTrips invoice\n{LINK}"


async def test_a_retryable_failure_is_queued_and_the_worker_sends_it(
    database: str, fake: FakeWhatsApp, admin: asyncpg.Connection
) -> None:
    async with listening(fake) as address:
        async with serving(database, **live_settings(fake, address)) as api:
            answer = await sent(api, to="250788120429")
        assert (answer["http"], answer["status"], answer["error_code"]) == (202, "queued", 130429)
        for _ in range(2):
            await admin.execute("update wa.messages set next_attempt_at = now() where status = 'queued'")
            await work(database, fake, address)
    assert await admin.fetchval("select status from wa.messages") == "sent"
    assert len(fake.taken) == 1


async def test_a_permanent_failure_is_a_502_and_shown_to_ops(live: Api, admin: asyncpg.Connection) -> None:
    answer = await sent(live, to="250788120190")
    assert (answer["http"], answer["code"]) == (502, "SUPPLIER_TIMEOUT")
    opened = await admin.fetchrow(
        "select kind, status from ops.exceptions where kind = 'message' and supplier = 'WHATSAPP'"
    )
    assert opened is not None
    assert opened["status"] == "open"


async def test_a_lost_answer_is_told_settled_by_the_report_and_never_sent_twice(
    database: str, fake: FakeWhatsApp, admin: asyncpg.Connection
) -> None:
    async with listening(fake) as address, serving(database, **live_settings(fake, address)) as api:
        answer = await sent(api, to="250788120408")
        assert (answer["http"], answer["status"]) == (202, "unknown")
        await work(database, fake, address)
        assert len(fake.taken) == 1
        for body in fake.reports():
            await events(api, body, fake.signature(body))
    assert await admin.fetchval("select status from wa.messages") == "read"
    assert await admin.fetchval("select provider_message_id from wa.messages") == fake.taken[0]["id"]


async def test_a_number_that_cannot_be_reached_ends_as_failed(
    live: Api, fake: FakeWhatsApp, admin: asyncpg.Connection
) -> None:
    await sent(live, to="250788120026")
    for body in fake.reports():
        await events(live, body, fake.signature(body))
    assert await admin.fetchval("select status || error_code from wa.messages") == "failed131026"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"to": "0788120001"}, "to must be a phone number in E.164 digits"),
        ({"to": "+25078812000x"}, "to must be a phone number in E.164 digits"),
        ({"to": None}, "to must be a phone number in E.164 digits"),
        ({"type": "fax"}, "type must be text|link_notice|template"),
        ({"text": None}, "text must be between 1 and 4096 characters"),
        ({"text": " "}, "text must be between 1 and 4096 characters"),
        ({"url": None}, "url must be an http or https link"),
        ({"url": "javascript:alert(1)"}, "url must be an http or https link"),
        ({"url": "https://"}, "url must be an http or https link"),
        ({"text": "x" * 4090}, "text and url together must be <= 4096 characters"),
        ({"type": "template"}, "template is required"),
    ],
)
async def test_what_cannot_be_sent_is_refused(api: Api, admin: asyncpg.Connection, changes: Any, error: str) -> None:
    answer = await sent(api, **changes)
    assert (answer["http"], answer["error"]) == (400, error)
    assert await admin.fetchval("select count(*) from wa.messages") == 0


async def test_only_the_service_sends(api: Api) -> None:
    for headers, status in ((api.anonymous, 401), (api.user(), 403), (api.user(OPS_USER), 403)):
        assert (await api.post("wa-send", NOTICE, headers)).status_code == status


async def test_the_challenge_is_echoed_to_who_knows_the_token(live: Api, api: Api) -> None:
    def query(token: str) -> dict[str, str]:
        return {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}

    answer = await live.http.get("/functions/v1/wa-webhook", params=query("verify"))
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    assert (await live.http.get("/functions/v1/wa-webhook", params=query("wrong"))).status_code == 403
    # No token is set there: nobody knows it, the empty one is none.
    assert (await api.http.get("/functions/v1/wa-webhook", params=query(""))).status_code == 403


async def test_a_wrong_or_missing_signature_is_refused(
    live: Api, fake: FakeWhatsApp, admin: asyncpg.Connection
) -> None:
    body = fake.inbound(NUMBER, "Bonjour 🌍")
    for signature in (None, "", "sha256=", "sha256=" + "0" * 64, fake.signature(body + b" "), fake.signature(body)[7:]):
        assert (await events(live, body, signature)).status_code == 400
    assert await admin.fetchval("select count(*) from wa.messages") == 0


async def test_both_secrets_sign_while_the_secret_is_changed(live: Api, fake: FakeWhatsApp) -> None:
    for text, secret in (("before", fake.app_secret), ("after", "next-secret")):
        fake.app_secret = secret
        body = fake.inbound(NUMBER, text)
        assert (await events(live, body, fake.signature(body))).status_code == 200


async def test_live_without_a_secret_nothing_is_taken_in(database: str, fake: FakeWhatsApp) -> None:
    async with serving(database, **LIVE) as api:
        body = fake.inbound(NUMBER, "hi")
        assert (await events(api, body, fake.signature(body))).status_code == 400


async def test_what_is_not_understood_is_taken_and_left_out(api: Api, admin: asyncpg.Connection) -> None:
    strange = [{"from": "x"}, {"from": NUMBER, "id": "a", "timestamp": "soon", "type": "text"}, 7, None]
    nul = {"from": NUMBER, "id": "wamid.N", "timestamp": "1", "type": "text", "text": {"body": "a\0b"}}
    value = {"messages": [*strange, nul], "statuses": [{"id": 1}, {"id": "w", "status": "sent", "timestamp": "9" * 40}]}
    body = json.dumps({"entry": [{"changes": [{"value": value}, {"value": {}}]}, {}], "object": "x"}).encode()
    answer = (await events(api, body, None)).json()
    assert (answer["messages"], answer["statuses"]) == (1, 0)
    assert await admin.fetchval("select body from wa.messages") == "ab"
    for broken in (b"", b"{", b"[]", b'{"entry":7}', b"\xff"):
        assert (await events(api, broken, None)).status_code == 400


async def test_a_batch_larger_than_other_bodies_is_taken(live: Api, fake: FakeWhatsApp) -> None:
    message = json.loads(fake.inbound(NUMBER, "x" * 4000))["entry"][0]["changes"][0]["value"]["messages"][0]
    body = fake.event(messages=[{**message, "id": f"wamid.{number}"} for number in range(600)])
    assert len(body) > 2 * 1024 * 1024
    assert (await events(live, body, fake.signature(body))).json()["messages"] == 600


async def test_no_line_tells_number_text_or_link(
    live: Api, fake: FakeWhatsApp, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="src")
    await asyncio.gather(*(sent(live, to=f"25078812{end}") for end in ("0001", "0190", "0408", "0429")))
    await sent(live, text="")
    body = fake.inbound(NUMBER, "a private word")
    await events(live, body, fake.signature(body))
    for report in fake.reports():
        await events(live, report, fake.signature(report))
    out, err = capfd.readouterr()
    told = out + err + caplog.text
    assert "AUDIT wa.send" in told
    assert "AUDIT wa.webhook" in told
    for secret in ("25078812", "very-secret", "ecotrips.example", "Your ecoTrips", "private word"):
        assert secret not in told


@pytest.mark.parametrize("levels", [65, 490, 990, 3_000])
async def test_an_event_that_is_too_deep_is_refused(
    live: Api, fake: FakeWhatsApp, admin: asyncpg.Connection, levels: int
) -> None:
    event = fake.inbound(NUMBER, "hi")
    for place in (b'"entry"', b'"text"', b'"unknown"'):
        deep = b'"deep":' + b"[" * levels + b"]" * levels + b"," + place
        body = event.replace(place, deep, 1) if place in event else b"{" + deep + b":1," + event[1:]
        answer = await events(live, body, fake.signature(body))
        assert (answer.status_code, answer.json()["error"]) == (400, "JSON may be nested at most 64 deep")
    assert await admin.fetchval("select count(*) from wa.messages") == 0


async def test_an_answer_that_cannot_be_read_leaves_no_message_in_sending(live: Api, admin: asyncpg.Connection) -> None:
    answer = await sent(live, to="250788120505")
    assert (answer["http"], answer["status"]) == (202, "unknown")
    assert await admin.fetchval("select status from wa.messages") == "unknown"
