"""The calls that the OpenAPI document shows: recorded while the tests make them, the runbook's first.

`python -m tests.examples` runs those tests and writes src/http/examples.json: of each function the first call that
succeeded.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[1] / "src" / "http" / "examples.json"
BASE_URL = "http://127.0.0.1:8000"
PREFIX = "/functions/v1/"
TESTS = (
    "tests/runbook",
    *(f"tests/http/test_{name}.py" for name in ("neighbours", "inventory", "permits", "messaging", "retry")),
)


class Recorder:
    """A plugin of pytest that listens to the tests' client."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, object]] = {}

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        sent = httpx.AsyncClient.send

        async def send(client: httpx.AsyncClient, request: httpx.Request, **options: object) -> httpx.Response:
            response = await sent(client, request, **options)  # type: ignore[arg-type] # handed on as they came
            self._keep(request, response)
            return response

        httpx.AsyncClient.send = send  # type: ignore[method-assign,assignment] # for this process, to listen

    def _keep(self, request: httpx.Request, response: httpx.Response) -> None:
        name = request.url.path.removeprefix(PREFIX)
        said_json = response.headers.get("content-type") == "application/json"
        if name in self.found or "/" in name or response.status_code != httpx.codes.OK or not said_json:
            return
        example: dict[str, object] = {"answer": json.loads(_shown(response.text))}
        if request.url.params:
            example["query"] = dict(request.url.params)
        if request.method == "POST":
            example["body"] = json.loads(request.content or b"{}")
        self.found[name] = example


def _shown(text: str) -> str:
    """As at `make run`, without a token that looks like a secret."""
    return re.sub(r"token=[\w.-]+", "token=from-the-signed-link", text).replace("http://testserver", BASE_URL)


def main() -> int:
    recorder = Recorder()
    code = pytest.main(["-q", "-p", "no:randomly", *TESTS], plugins=[recorder])
    EXAMPLES.write_text(json.dumps(dict(sorted(recorder.found.items())), indent=1, ensure_ascii=False) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
