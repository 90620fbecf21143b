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
    else  taken, sent, delivered and read

Reports come signed, twice each and shuffled, as they may from Meta.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

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


@dataclass
class Reply:
    """What the server sends; no status means that it hangs up."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class FakeWhatsApp:
    """The server's memory: everything that it took, and the reports of it that are still to be sent."""

    token = "token"
    app_secret = "app-secret"
    phone_id = "1000"

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self._refused: Counter[str] = Counter()
        self._reports: list[dict[str, Any]] = []
        self._numbers = count(1)
        self._lock = Lock()

    def post(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Answer one request."""
        if headers.get("authorization") != f"Bearer {self.token}":
            return _error(190, 401)
        if not path.endswith(f"/{self.phone_id}/messages"):
            return _error(100, 400)
        message = json.loads(body)
        if fault := _fault(message):
            return _error(fault, 400)
        with self._lock:
            return self._take(message)

    def _take(self, message: dict[str, Any]) -> Reply:
        number = message["to"][-4:]
        code, status, times = FAILURES.get(number, (0, 0, 0))
        if self._refused[message["to"]] < times:
            self._refused[message["to"]] += 1
            return _error(code, status)
        if number == "0504":
            return Reply(504, b"<html>Gateway Timeout</html>")
        wamid = f"wamid.HBg{next(self._numbers):08d}"
        self.taken.append({**message, "id": wamid})
        failure = REPORTED_FAILURES.get(number) if message["type"] == "text" or number == "0026" else None
        for status_name in ("sent", "failed") if failure else ("sent", "delivered", "read"):
            self._reports.append(self._report(message, wamid, status_name, failure))
        if number == "0408":
            return Reply(None)
        contact = {"input": message["to"], "wa_id": message["to"]}
        accepted = {"id": wamid, "message_status": "accepted"}
        return _json(200, {"messaging_product": "whatsapp", "contacts": [contact], "messages": [accepted]})

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
        with self._lock:
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
    return _json(status, {"error": {"message": f"(#{code}) No", "type": "OAuthException", "code": code}})


def _json(status: int, body: object) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/json"})
