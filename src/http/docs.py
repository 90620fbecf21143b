"""Swagger UI at /docs, from files in a package."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import swagger_ui_bundle
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import ResponseHeader, State
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.response import File, Redirect

FOLDER = Path(swagger_ui_bundle.swagger_ui_path)
SCRIPT, STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ecoTrips Ops API</title><link rel="stylesheet" href="/docs/{STYLE}"><link rel="icon" href="data:,">
<main id="ui"></main><script src="/docs/{SCRIPT}"></script><script src="/docs/start.js"></script></html>"""
START = """SwaggerUIBundle({
  url: "/schema/openapi.json", dom_id: "#ui", deepLinking: true, docExpansion: "list", tryItOutEnabled: true,
  defaultModelsExpandDepth: -1, validatorUrl: null,
});"""
# Allows the page's own scripts and styles, and pictures inside of styles.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
A_DAY = {"cache-control": "max-age=86400"}


class SwaggerUi(OpenAPIRenderPlugin):
    """Swagger UI with local files from `swagger-ui-bundle-v2`."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return PAGE.encode()

    def receive_router(self, router: Router) -> None:
        router.response_headers = [ResponseHeader(name="content-security-policy", value=CONTENT_SECURITY_POLICY)]
        for handler in (script, style, start):
            router.register(handler)


@get(f"/{SCRIPT}", include_in_schema=False, sync_to_thread=False)
def script() -> File:
    return File(FOLDER / SCRIPT, media_type="text/javascript", content_disposition_type="inline", headers=A_DAY)


@get(f"/{STYLE}", include_in_schema=False, sync_to_thread=False)
def style() -> File:
    return File(FOLDER / STYLE, media_type="text/css", content_disposition_type="inline", headers=A_DAY)


@get("/start.js", include_in_schema=False, sync_to_thread=False)
def start() -> Response[str]:
    return Response(START, media_type="text/javascript")


@get(["/schema", "/schema/openapi.json"], include_in_schema=False)
async def schema(request: Request[None, None, State]) -> Response[bytes]:
    """The document, made in a task at the first request."""
    state = request.app.state
    if "document" not in state:
        # A task, so that concurrent requests await it, and a client that disconnects does not cancel it.
        state.document = asyncio.create_task(asyncio.to_thread(_made, request.app))
    return Response(await asyncio.shield(state.document), media_type="application/json")


def _made(application: Litestar) -> bytes:
    return msgspec.json.encode(application.openapi_schema.to_schema())


@get("/", include_in_schema=False, sync_to_thread=False)
def root() -> Redirect:
    return Redirect("/docs")
