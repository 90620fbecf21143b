"""The calls that the OpenAPI document shows: recorded while the tests make them, the runbook's first.

`python -m tests.support.examples` runs those tests and writes src/http/examples.json: of each function the call that is
most like the one shown before, else the first that succeeded. What differs because it was another run (ids, times)
stays.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "src" / "http" / "examples.json"
BASE_URL = "http://127.0.0.1:8000"
PREFIX = "/functions/v1/"
MEASURED = {"ms"}
# Ids, moments, days and digests: in another run they are others.
OF_A_RUN = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b(?:20\d{6}|1[6-9]\d{8})\b|[0-9a-f]{16,}|\b[0-9a-zA-Z]{20,}\b"
)
TESTS = (
    "tests/runbook",
    *(f"tests/http/test_{name}.py" for name in ("neighbours", "inventory", "permits", "messaging", "retry")),
)


class Recorder:
    """A plugin of pytest that listens to the tests' client."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, object]]] = {}

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
        if "/" in name or response.status_code != httpx.codes.OK or not said_json:
            return
        example: dict[str, object] = {"answer": json.loads(_shown(response.text))}
        if request.url.params:
            example["query"] = dict(request.url.params)
        if request.method == "POST":
            example["body"] = json.loads(_shown(request.content.decode() or "{}"))
        self.found.setdefault(name, []).append(example)


def _shown(text: str) -> str:
    """As at `make run`, without a token that looks like a secret."""
    return re.sub(r"token=[\w.-]+", "token=from-the-signed-link", text).replace("http://testserver", BASE_URL)


def steady(new: object, old: object) -> object:
    """The new call with the old one's ids and times where both have some; what was one thing stays one thing."""
    known: dict[str, str] = {}
    _pair(new, old, known)
    return _renamed(new, old, known)


def chosen(calls: Sequence[object], before: object) -> object:
    """The call whose text differs in the fewest lines."""
    old = _lines(before)
    return min((steady(call, before) for call in calls), key=lambda call: len(_lines(call) ^ old))


def _lines(call: object) -> set[str]:
    return set(json.dumps(call, indent=1).splitlines())


def _pair(new: object, old: object, known: dict[str, str]) -> None:
    """Learn from what stands in the same place of both which ids and times are those of before."""
    if isinstance(new, dict) and isinstance(old, dict):
        for name in new.keys() & old.keys():
            _pair(new[name], old[name], known)
    elif isinstance(new, list) and isinstance(old, list):
        for one, other in zip(new, old, strict=False):
            _pair(one, other, known)
    elif isinstance(new, str) and isinstance(old, str) and OF_A_RUN.sub("#", new) == OF_A_RUN.sub("#", old):
        for one, other in zip(OF_A_RUN.findall(new), OF_A_RUN.findall(old), strict=True):
            known.setdefault(one, other)


def _renamed(value: object, old: object, known: dict[str, str]) -> object:
    match value:
        case dict():
            before = old if isinstance(old, dict) else {}
            return {
                name: before[name] if name in MEASURED & before.keys() else _renamed(part, before.get(name), known)
                for name, part in value.items()
            }
        case list():
            before_each = old if isinstance(old, list) else []
            return [_renamed(part, before, known) for part, before in zip_longest(value, before_each[: len(value)])]
        case str():
            return OF_A_RUN.sub(lambda found: known.get(found[0], found[0]), value)
        case _:
            return value


def main() -> int:
    recorder = Recorder()
    code = pytest.main(["-q", "-p", "no:randomly", *TESTS], plugins=[recorder])
    before = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    found = {name: chosen(calls, before.get(name)) for name, calls in recorder.found.items()}
    EXAMPLES.write_text(json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
