"""What every answer tells browsers (https://owasp.org/www-project-secure-headers/), whichever route it is of."""

from __future__ import annotations

from collections.abc import Awaitable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

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


# Where a handler says in its `opt` which of these its answers have; PAGES if nowhere.
OPT = "told_to_browsers"


def telling(app: ASGIApp, *, https_only: bool) -> ASGIApp:
    """Middleware: adds the headers to every answer, but those that it has of its own."""
    added = HTTPS_ONLY if https_only else ()

    def told(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers = (*scope["route_handler"].opt.get(OPT, PAGES), *added)

        def sending(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                own = [name for name, _ in message["headers"]]
                message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in own)]
            return send(message)

        return app(scope, receive, sending)

    return told
