"""What the API's requests and refusals look like."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

Json = dict[str, Any]
INVALID = "invalid_request_error"


class Refused(Exception):
    """An answer of failure, for example 400 with `invalid_request_error` and a code."""

    def __init__(self, status: int, kind: str, code: str = "", message: str = "no") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = error(kind, code, message)


def error(kind: str, code: str = "", message: str = "no") -> Json:
    return {"error": {"type": kind, "message": message, **({"code": code} if code else {})}}


def new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex[:20]}"


def found(table: dict[str, Json], identity: str) -> Json:
    if identity not in table:
        raise Refused(404, INVALID, "resource_missing")
    return table[identity]


def positive(given: Json, name: str, default: int = 0) -> int:
    """A parameter in minor units."""
    value = str(given.get(name, default))
    if not value.isdigit() or not int(value):
        raise Refused(400, INVALID, "parameter_invalid_integer")
    return int(value)


def secret_key(authorization: str) -> str:
    """The SDK sends it as a bearer, curl -u as a user without a password."""
    kind, _, given = authorization.partition(" ")
    return b64decode(given).decode().partition(":")[0] if kind == "Basic" else given


def unflattened(body: bytes) -> Json:
    """`metadata[payment_id]=x` as {"metadata": {"payment_id": "x"}}."""
    read: Json = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        outer, _, inner = name.partition("[")
        if inner:
            read.setdefault(outer, {})[inner.rstrip("]")] = value
        else:
            read[outer] = value
    return read
