"""What every answer tells browsers (https://owasp.org/www-project-secure-headers/), whichever route it is of."""

from __future__ import annotations

from collections.abc import Awaitable

from src.edge.asgi import Message, Send

Headers = tuple[tuple[bytes, bytes], ...]

# Answers of /rest/v1 are data in types of their own: that they are taken for nothing else is all there is to say.
DATA: Headers = ((b"x-content-type-options", b"nosniff"),)
PAGES: Headers = (
    *DATA,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# A year. Browsers heed it over https alone, be that of a proxy.
HTTPS_ONLY: Headers = ((b"strict-transport-security", b"max-age=31536000"),)


def telling(send: Send, headers: Headers) -> Send:
    """`send` that adds the headers to an answer, but those that it has of its own."""

    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            own = [name for name, _ in message["headers"]]
            message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in own)]
        return send(message)

    return sending
