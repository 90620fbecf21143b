"""The document at /schema: valid, complete, and true."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conftest import serving
from tests.support.npm import installed

Document = dict[str, Any]
LINT = Path(__file__).with_name("lint")
# What clients write: no field that has a default need be there.
USE = """import type { components } from "./api";
const checkout: components["schemas"]["CheckoutInput"] = {
  itinerary_id: "11111111-1111-4111-8111-111111111111", amount_cents: 25000, currency: "USD",
};
const event: components["schemas"]["StripeEventInput"] = { type: "payment_intent.succeeded", data: {} };
const search: components["schemas"]["PlacesInput"] = { query: "kigali" };
export { checkout, event, search };
"""
METHODS = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def served() -> str:
    """It is the same whatever the database holds, so none is asked."""

    async def asked() -> str:
        async with serving("postgresql://nobody@127.0.0.1:9/none") as api:
            answer = await api.http.get("/schema")
        assert answer.headers["content-type"] == "application/json"
        return answer.text

    return asyncio.run(asked())


@pytest.fixture
def document(served: str) -> Document:
    found: Document = json.loads(served)
    return found


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def media(document: Document) -> Iterator[tuple[str, Document]]:
    """Every JSON body of a request or an answer."""
    for name, operation in operations(document):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for part, body in bodies.items():
            described = resolved(document, body)
            if "application/json" in described.get("content", {}):
                yield f"{name} {part}", described["content"]["application/json"]


def resolved(document: Document, part: Document) -> Document:
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        document = document[step]
    return document


def security(document: Document, operation: Document) -> list[Document]:
    rules: list[Document] = operation["security"] if "security" in operation else document["security"]
    return rules


def faults(document: Document, body: Document) -> list[str]:
    """What the body's schema has against its example."""
    schema = {**body["schema"], "components": document["components"]}
    return [error.message for error in OAS31Validator(schema).iter_errors(body["example"]) or ()]


def test_it_is_valid_openapi(document: Document) -> None:
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.heavy
def test_it_passes_the_linter_without_a_warning(document: Document, tmp_path: Path) -> None:
    folder = installed(LINT / "package.json")
    written = tmp_path / "openapi.json"
    written.write_text(json.dumps(document))
    done = subprocess.run(
        [folder / "node_modules/.bin/spectral", "lint", "--fail-severity=hint", "-r", LINT / "spectral.yaml", written],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_python_client_is_generated_without_a_warning(document: Document, tmp_path: Path) -> None:
    written = tmp_path / "openapi.json"
    written.write_text(json.dumps(document))
    program = Path(sys.executable).with_name("openapi-python-client")
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [program, "generate", "--path", written, "--output-path", tmp_path / "client", "--fail-on-warning"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "class CheckoutInput" in next(tmp_path.rglob("checkout_input.py")).read_text()


def test_typescript_types_are_generated_and_let_out_what_has_a_default(document: Document, tmp_path: Path) -> None:
    folder = installed(LINT / "package.json")
    written, types, use = tmp_path / "openapi.json", tmp_path / "api.d.ts", tmp_path / "use.ts"
    written.write_text(json.dumps(document))
    use.write_text(USE)
    for name, *arguments in (
        ["openapi-typescript", str(written), "-o", str(types)],
        ["tsc", "--noEmit", "--strict", "--skipLibCheck", str(use)],
    ):
        done = subprocess.run(
            [folder / "node_modules/.bin" / name, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_operations_have_names_of_their_own_a_summary_a_tag_and_a_security_rule(document: Document) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert operation["summary"].strip(), name
        assert set(operation["tags"]) <= tags, name
        schemes = {scheme for rule in security(document, operation) for scheme in rule}
        assert schemes <= set(document["components"]["securitySchemes"]), name


def test_schemas_bear_public_names(document: Document) -> None:
    assert [name for name in document["components"]["schemas"] if not name.isalnum() or not name[0].isupper()] == []


def test_every_json_body_has_an_example_that_its_schema_allows(document: Document) -> None:
    for name, body in media(document):
        assert "example" in body, name
        assert faults(document, body) == [], name


def test_answers_hold_nothing_that_is_not_described(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    for name, body in media(document):
        if not name.endswith("request"):
            assert faults(document, body) == [], name


def test_every_operation_says_what_failures_look_like(document: Document) -> None:
    for name, operation in operations(document):
        statuses = set(operation["responses"])
        assert "405" in statuses, name
        if security(document, operation):
            assert "401" in statuses, name
