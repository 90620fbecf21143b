"""Binds the values of a request to a statement's slots."""

from __future__ import annotations

from src.rest.errors import bad_body
from src.rest.ports import Identity
from src.rest.protocol.request import Job
from src.rest.protocol.request_settings import OF_REQUEST
from src.rest.query.filters import array_literal


class Binder:
    """Values for every kind of slot. `max_rows` caps pages, `switches` is this process's JSON for request.switches."""

    def __init__(self, max_rows: int | None = None, switches: str = "{}") -> None:
        self._max_rows = max_rows
        self._switches = switches

    def arguments(self, slots: tuple[tuple[str, int], ...], job: Job, identity: Identity) -> list[object]:
        return [self._value(kind, index, job, identity) for kind, index in slots]

    def _value(self, kind: str, index: int, job: Job, identity: Identity) -> object:
        if kind == "value":
            return job.query.values[index]
        if kind in OF_REQUEST:
            return OF_REQUEST[kind](job.request)
        match kind:
            case "claims":
                found: object = identity.claims
            case "request_id":
                found = identity.request_id
            case "switches":
                found = self._switches
            case "capped":
                found = min(int(job.query.values[index]), self._max_rows or 0)
            case _:
                found = self._of_body(kind, index, job)
        return found

    def _of_body(self, kind: str, index: int, job: Job) -> object:
        payload = job.payload
        if kind in ("argument", "variadic"):
            given = payload.arguments if payload and payload.arguments is not None else job.query.arguments
            name, value = given[index]
            return value if kind == "argument" else array_literal([text for key, text in given if key == name])
        text = payload.text if payload else b""
        if kind == "body_bytes":
            return text
        try:
            return text.decode()
        except UnicodeDecodeError:
            message = "Empty or invalid json"
            raise bad_body(message) from None
