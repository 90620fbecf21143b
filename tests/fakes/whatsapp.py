"""WhatsApp's Cloud API as far as we use it, with numbers that decide what happens to a message.

The last four digits of a number:
    0026  taken, then reported as undeliverable (131026)
    0047  a text is taken, then reported as outside the 24-hour window (131047); a template arrives
    0048  refused: spam limit (131048)
    0056  refused once: too many messages to this number (131056)
    0190  refused: the token has expired (190, HTTP 401)
    0408  taken, but the answer is lost
    0429  refused twice: throughput (130429, HTTP 429), then taken
    0503  refused once: service unavailable (131016, HTTP 503)
    0504  a gateway's page in place of an answer
    0505  taken, but the answer is deeper than any is
    else  taken, sent, delivered and read

Reports come signed, twice each and shuffled, as they may from Meta. By hand, with the service's webhook as the second
argument:

python -m tests.fakes.whatsapp 8430 http://127.0.0.1:8000/functions/v1/wa-webhook
curl -d '{"from":"250788120001","text":"Muraho"}' 127.0.0.1:8430/_ctl/inbound     # a traveller writes to us
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import sys
import time
from collections import Counter
from itertools import count
from typing import Any

import httpx

from tests.fakes.wire import Reply, Request, deep, listening

TEMPLATES = {"link_notice": 2, "invoice_ready": 1, "greeting": 0}
"""Approved templates and how many variables each has."""

FAILURES: dict[str, tuple[int, int, int]] = {
    "0048": (131048, 429, 1_000_000),
    "0056": (131056, 429, 1),
    "0190": (190, 401, 1_000_000),
    "0429": (130429, 429, 2),
    "0503": (131016, 503, 1),
}
"""By number: error code, HTTP status, and how many times before it goes well."""

REPORTED_FAILURES = {"0026": 131026, "0047": 131047}


class FakeWhatsApp:
    """The server's memory: everything that it took, and the reports of it that are still to be sent.

    With a `webhook` it sends them itself, after each answer.
    """

    token = "token"
    app_secret = "app-secret"
    phone_id = "1000"

    def __init__(self, webhook: str = "") -> None:
        self.taken: list[dict[str, Any]] = []
        self.webhook = webhook
        self._refused: Counter[str] = Counter()
        self._reports: list[dict[str, Any]] = []
        self._numbers = count(1)
        self._telling: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Request) -> Reply:
        if request.path == "/_ctl/inbound":
            written = json.loads(request.body)
            await self._tell([self.inbound(written["from"], written["text"])])
            return Reply(200, {})
        reply = self._answered(request)
        if self.webhook:
            telling = asyncio.create_task(self._tell(self.reports()))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        return reply

    def _answered(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _error(190, 401)
        if not request.path.endswith(f"/{self.phone_id}/messages"):
            return _error(100, 400)
        message = json.loads(request.body)
        if fault := _fault(message):
            return _error(fault, 400)
        number = message["to"][-4:]
        code, status, times = FAILURES.get(number, (0, 0, 0))
        if self._refused[message["to"]] < times:
            self._refused[message["to"]] += 1
            return _error(code, status)
        if number == "0504":
            return Reply(504, "<html>Gateway Timeout</html>")
        wamid = f"wamid.HBg{next(self._numbers):08d}"
        self.taken.append({**message, "id": wamid})
        failure = REPORTED_FAILURES.get(number) if message["type"] == "text" or number == "0026" else None
        for status_name in ("sent", "failed") if failure else ("sent", "delivered", "read"):
            self._reports.append(self._report(message, wamid, status_name, failure))
        contact = {"input": message["to"], "wa_id": message["to"]}
        accepted = {"id": wamid, "message_status": "accepted"}
        body = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [accepted]}
        return Reply(200, deep() if number == "0505" else body, hang_up=number == "0408")

    def _report(self, message: dict[str, Any], wamid: str, status: str, code: int | None) -> dict[str, Any]:
        report: dict[str, Any] = {
            "id": wamid,
            "status": status,
            "timestamp": str(int(time.time())),
            "recipient_id": message["to"],
            "biz_opaque_callback_data": message.get("biz_opaque_callback_data"),
        }
        if status == "failed":
            report["errors"] = [{"code": code, "title": "Failed", "error_data": {"details": "No"}}]
        return report

    def reports(self, chance: random.Random | None = None) -> list[bytes]:
        """The bodies of all reports that are due, each one twice, in any order."""
        due, self._reports = self._reports * 2, []
        (chance or random.Random()).shuffle(due)
        return [self.event(statuses=[report]) for report in due]

    def inbound(self, number: str, text: str) -> bytes:
        """The body of a traveller's message to us."""
        message = {
            "from": number,
            "id": f"wamid.IN{next(self._numbers):08d}",
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": text},
        }
        return self.event(messages=[message], contacts=[{"wa_id": number, "profile": {"name": "Traveller"}}])

    def event(self, **value: list[dict[str, Any]]) -> bytes:
        """An event in Meta's envelope."""
        metadata = {"display_phone_number": "250700000000", "phone_number_id": self.phone_id}
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        envelope = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
        return json.dumps(envelope, ensure_ascii=False).encode()

    def signature(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()

    async def _tell(self, events: list[bytes]) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            for body in events:
                headers = {"content-type": "application/json", "x-hub-signature-256": self.signature(body)}
                try:
                    answer = await client.post(self.webhook, content=body, headers=headers)
                    print(f"webhook: {answer.status_code}", flush=True)
                except httpx.HTTPError as error:
                    print(f"webhook: {type(error).__name__}", flush=True)


def _fault(message: dict[str, Any]) -> int | None:
    if message.get("messaging_product") != "whatsapp" or not str(message.get("to", "")).isdigit():
        return 100
    if message["type"] == "text":
        return None if 1 <= len(message["text"]["body"]) <= 4096 else 100
    template = message["template"]
    if template["name"] not in TEMPLATES:
        return 132001
    parameters = [p for c in template["components"] if c["type"] == "body" for p in c["parameters"]]
    if any("\n" in parameter["text"] for parameter in parameters):
        return 132018
    return None if len(parameters) == TEMPLATES[template["name"]] else 132000


def _error(code: int, status: int) -> Reply:
    return Reply(status, {"error": {"message": f"(#{code}) No", "type": "OAuthException", "code": code}})


async def main(port: int, webhook: str) -> None:
    """Serve until the process is ended."""
    fake = FakeWhatsApp(webhook)
    async with listening(fake, port) as address:
        print(
            f"WA_OFFLINE=0 WA_GRAPH_BASE={address} WA_PHONE_ID={fake.phone_id} WA_ACCESS_TOKEN={fake.token}"
            f" WA_APP_SECRET={fake.app_secret}",
            flush=True,
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8430, sys.argv[2] if len(sys.argv) > 2 else ""))
