"""A family is whole: its schema is served, its guide, its data map and its tests are there, and the guide says so."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

import asyncpg
from litestar import Controller

import src.http
from src.http.endpoint import endpoints_of
from src.settings import DEFAULT_SCHEMAS, INTERNAL_SCHEMAS
from tests.support.endpoints import declared
from tests.support.processes import ROOT

GUIDE = (ROOT / "docs" / "develop.md").read_text()
STEPS = GUIDE.partition("## How to add a family")[2].partition("\n## ")[0]
OPERATORS = (ROOT / "docs" / "operate.md").read_text()
# Schemas that no caller sees by /rest/v1: helpers, who is calling, the register of applied files, extensions.
WITHOUT_ENDPOINTS = {"storage", "rest"}


def modules() -> set[str]:
    """The modules of src/http that declare endpoints."""
    names = (module.name for module in pkgutil.iter_modules(src.http.__path__))
    return {name for name in names if list(endpoints_of(controllers(importlib.import_module(f"src.http.{name}"))))}


def controllers(module: ModuleType) -> list[type[Controller]]:
    return [found for found in vars(module).values() if isinstance(found, type) and issubclass(found, Controller)]


def texts(*folders: str) -> str:
    files = (file for folder in folders for file in (ROOT / "tests" / folder).rglob("*"))
    return "\n".join(file.read_text() for file in files if file.suffix in (".py", ".sh"))


def test_every_family_is_listed() -> None:
    listed = re.search(r"the same in every layer: ([\w\s]+)\.", GUIDE)
    assert listed
    assert set(listed[1].split()) == modules() | WITHOUT_ENDPOINTS


def test_every_endpoint_is_in_the_operators_guide() -> None:
    missing = [
        endpoint.name
        for endpoint in declared()
        if f"`{endpoint.name}`" not in OPERATORS and f"/{endpoint.name}" not in OPERATORS
    ]
    assert missing == [], "docs/operate.md says nothing of them"


def test_every_endpoint_is_called_by_a_test_of_its_own() -> None:
    called = texts("http", "runbook")
    missing = [endpoint.name for endpoint in declared() if not re.search(rf"[\"/]{endpoint.name}[\"?/ ]", called)]
    assert missing == [], "tests/http and tests/runbook do not call them"


def test_every_function_of_an_endpoint_has_a_test_of_its_rules() -> None:
    tried = texts("sql", "http", "runbook", "contracts", "faults")
    missing = [
        f"{endpoint.name}: {function}"
        for endpoint in declared()
        for function in endpoint.functions
        if endpoint.name not in tried and function.partition(".")[2] not in tried
    ]
    assert missing == []


async def test_every_schema_is_served_or_internal(admin: asyncpg.Connection) -> None:
    """Who adds a schema says in src/settings/table.py that callers may see it, or here that they may not."""
    rows = await admin.fetch(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'"
    )
    assert {row["nspname"] for row in rows} == {*DEFAULT_SCHEMAS, *INTERNAL_SCHEMAS}


def test_the_guide_names_every_step() -> None:
    for named in (
        "sql/migrations/",
        "create schema",
        "DEFAULT_SCHEMAS",
        "sql/views/privacy_data_map.sql",
        "sql/policies.sql",
        "sql/grants.sql",
        "tests/sql/",
        "src/http/",
        "src/composition.py",
        "src/app.py",
        "tests/http/",
        "tests/runbook/",
        "tests.support.examples",
        "docs/api.md",
        "docs/operate.md",
        "CHANGELOG.md",
    ):
        assert named in STEPS, named
