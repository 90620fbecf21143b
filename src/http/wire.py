"""ASGI helpers: reading a bounded body, sending an answer."""

from collections.abc import Iterable

from litestar.types import Receive, Scope, Send

from src.domain.context import Role
from src.domain.errors import Unavailable
from src.edge.body import OVER_BUDGET_SECONDS, TAKEN, BodyError, Encoded, OverBudget, first_of_each, whole_body
from src.edge.limits import MEBIBYTE
from src.http.problems import InputRefused

MAX_BODY_SIZE = MEBIBYTE
JSON = b"application/json"
NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name, as in `first_of_each`."""
    return first_of_each(scope["headers"])


async def read_body(headers: dict[bytes, bytes], receive: Receive, role: Role, max_size: int = MAX_BODY_SIZE) -> bytes:
    """The whole body of a caller of `role`. Raises InputRefused and Unavailable."""
    try:
        return await whole_body(headers, receive, max_size, role.value)
    except OverBudget:
        message = "Too many large bodies are under way"
        raise Unavailable(message, OVER_BUDGET_SECONDS) from None
    except BodyError as error:
        name, value = TAKEN
        owed = [(name.lower().encode(), value.encode())] if isinstance(error, Encoded) else []
        raise InputRefused(error.status, f"The {error}", owed) from None


def require_json(headers: dict[bytes, bytes], body: bytes) -> None:
    """Raises InputRefused for a body of another media type."""
    kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    if body and kind != JSON and not kind.endswith(b"+json"):
        raise InputRefused(415, "The body must be application/json")


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
