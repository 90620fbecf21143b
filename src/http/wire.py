"""The few ASGI moves that every handler needs: reading a bounded body, sending an answer."""

from collections.abc import Iterable

from litestar.types import Receive, Scope, Send

from src.domain.context import Role
from src.domain.errors import InputInvalid, Unavailable
from src.edge.body import (
    BrokenOff,
    Encoded,
    InPieces,
    NoRoom,
    TooLarge,
    TooSlow,
    body_timeout,
    first_of_each,
    whole_body,
)
from src.edge.limits import MEBIBYTE
from src.http.problems import BodyBrokenOff, BodyEncoded, BodyTooLarge, BodyTooSlow, NotJson

MAX_BODY_SIZE = MEBIBYTE
# Seconds after which a body that there was no room for may be sent again.
NO_ROOM_SECONDS = 2
JSON = b"application/json"
NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name, as `first_of_each` takes them."""
    return first_of_each(scope["headers"])


async def read_body(headers: dict[bytes, bytes], receive: Receive, role: Role, largest: int = MAX_BODY_SIZE) -> bytes:
    """The whole body of a caller of `role`.

    Raises BodyTooLarge above `largest` bytes, BodyTooSlow, BodyBrokenOff, BodyEncoded, InputInvalid, and Unavailable.
    """
    try:
        return await whole_body(headers, receive, largest, role.value)
    except Encoded:
        message = "The body must not be encoded or compressed"
        raise BodyEncoded(message) from None
    except TooLarge:
        message = f"The body is larger than {largest // MEBIBYTE} MiB"
        raise BodyTooLarge(message) from None
    except TooSlow:
        message = f"The body did not arrive within {body_timeout(largest):.0f} s"
        raise BodyTooSlow(message) from None
    except InPieces:
        message = "The body comes in too many pieces"
        raise InputInvalid(message) from None
    except BrokenOff:
        message = "The body broke off"
        raise BodyBrokenOff(message) from None
    except NoRoom:
        message = "Too many large bodies are under way"
        raise Unavailable(message, NO_ROOM_SECONDS) from None


def require_json(headers: dict[bytes, bytes], body: bytes) -> None:
    """Raises NotJson when a body is announced as anything but JSON."""
    kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    if body and kind != JSON and not kind.endswith(b"+json"):
        message = "The body must be application/json"
        raise NotJson(message)


async def send_answer(
    send: Send,
    status: int,
    body: bytes,
    request_id: str,
    headers: Iterable[tuple[bytes, bytes]] = NO_HEADERS,
    media_type: bytes = JSON,
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", request_id.encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
