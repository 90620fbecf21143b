"""docs/api.md says of every route what the service declares and does, and names no other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec
import pytest
from litestar.routes import ASGIRoute, HTTPRoute
from msgspec import NODEFAULT, inspect

from src.app import create
from src.http.application import NO_ROUTE
from src.http.call import Access
from src.http.endpoint import Endpoint
from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES
from tests.conftest import Api
from tests.support import postgres
from tests.support.endpoints import beneath, fields, served, undescribed
from tests.support.processes import ROOT

GUIDE = (ROOT / "docs" / "api.md").read_text()
FUNCTIONS = "/functions/v1/"
# Named once for all answers of functions, under "Answers and errors".
COMMON = {"ok", "request_id"}
FILLED = {"{bucket}": "invoices", "{path}": "a.pdf", "{fn}": "bff-checkout"}
# Under its own heading, with a page of its own.
ENGINE = "/rest/v1"
AMOUNT = (1, 1_000_000_000_000)
WORDS = {"open", "any key", "user", "ops", "service"}


@dataclass(frozen=True)
class Section:
    """What stands below one route's heading."""

    text: str

    def fact(self, name: str) -> str:
        """What the line of **names** says of one, without what follows a colon."""
        found = re.search(rf"\*\*{name}\*\*\s(.+?)\.(?=\s\*\*|\n\n|\s*$)", self.text, re.DOTALL)
        assert found, f"nothing is said of {name}"
        return " ".join(found[1].split())

    def rows(self, head: str) -> Sequence[tuple[str, str]]:
        """Names and second cells of a table, one for each name."""
        lines = self.text.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        return [(name, cell[1].strip()) for cell in cells for name in re.findall(r"`([^`]+)`", cell[0])]

    def examples(self) -> Sequence[str]:
        return re.findall(r"```json\n(.*?)```", self.text, re.DOTALL)


def headed(guide: str = GUIDE) -> Mapping[str, Section]:
    parts = re.split(r"^#+ (.+)\n", guide, flags=re.MULTILINE)
    return {title: Section(text) for title, text in zip(parts[1::2], parts[2::2], strict=True) if " /" in title}


SECTIONS = headed()
NAMES = sorted(served())


def section(endpoint: Endpoint) -> Section:
    return SECTIONS[f"{endpoint.method} {FUNCTIONS}{endpoint.name}"]


def type_of(field: inspect.Field) -> str:
    """A field's type, bounds and default in the words of the guide."""
    kind = _kind(beneath(field.type))
    if field.required:
        return kind
    if field.default in (NODEFAULT, None):
        return f"{kind}, optional"
    return f"{kind}, default {f'`{field.default}`' if isinstance(field.default, str) else field.default}"


def _kind(kind: inspect.Type) -> str:  # noqa: PLR0911 - a table, one line a kind
    match kind:
        case inspect.LiteralType(values=values):
            shown = [f"`{value}`" for value in values]
            return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
        case inspect.IntType(ge=int(lowest), le=int(highest)):
            return "amount" if (lowest, highest) == AMOUNT else f"integer, {lowest:,} to {highest:,}"
        case inspect.StrType(pattern=str(pattern)):
            return "currency" if "[Uu][Ss][Dd]" in pattern else f"text like `{pattern}`"
        case inspect.StrType(min_length=shortest, max_length=int(longest)):
            return f"text, {shortest:,} to {longest:,}" if shortest else f"text, up to {longest:,}"
        case inspect.ListType(item_type=item, min_length=shortest, max_length=longest):
            bounds = f", {shortest or 0:,} to {longest:,}" if longest else ""
            of = beneath(item)
            return f"list{bounds}" if isinstance(of, inspect.StructType | inspect.RawType) else f"list of {_kind(of)}"
        case inspect.StructType() | inspect.DictType():
            return "object"
        case _:
            plain = {inspect.UUIDType: "UUID", inspect.DateType: "date", inspect.DateTimeType: "time"}
            return {**plain, inspect.StrType: "text", inspect.IntType: "integer"}[type(kind)]


async def accesses(name: str) -> set[str]:
    """What a caller of a function has to be, under whatever settings."""
    live = {"switches": LIVE_SWITCHES}
    found = set()
    for changes in ({"switches": OFFLINE_SWITCHES}, live, {**live, "stripe_webhook_secrets": ("whsec",)}):
        app = create(postgres.settings("postgresql://nobody@127.0.0.1:9/none", **changes))
        handlers = [handler for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers]
        endpoint = next(one for one in handlers if isinstance(one, Endpoint) and one.name == name)
        access = endpoint.access if isinstance(endpoint.access, Access) else await endpoint.access()
        found.add(access.value)
    return found


async def test_every_route_has_its_heading_and_no_heading_names_another(api: Api) -> None:
    described = (await api.http.get("/schema")).json()["paths"]
    documented = {
        f"{method.upper()} {path}" for path in described for method in described[path] if method != "parameters"
    }
    assert documented <= SECTIONS.keys()
    paths = {title.partition(" ")[2] for title in SECTIONS}
    # The engine's mount has a part of its own; what nothing takes, and the files of the page, have none.
    for route in (
        route
        for route in api.app.routes
        if route.path not in {"/rest/v1", NO_ROUTE} and not route.path.startswith("/docs/")
    ):
        path = re.sub(r":\w+}", "}", route.path)
        mounted = isinstance(route, ASGIRoute) and route.route_handler.is_mount
        assert path in paths or (mounted and any(one.startswith(f"{path}/") for one in paths)), path
    for path in paths:
        methods = {title.partition(" ")[0] for title in SECTIONS if title.partition(" ")[2] == path}
        filled = path
        for name, value in FILLED.items():
            filled = filled.replace(name, value)
        refused = await api.http.patch(filled, headers=api.user() if "/auth/" in path else api.service)
        assert refused.status_code == 405, path
        assert set(refused.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"} == methods, path
    assert f"\n# {ENGINE}\n" in GUIDE


@pytest.mark.parametrize("name", NAMES)
async def test_who_may_call_and_how_often_is_what_is_declared(name: str) -> None:
    endpoint, said = served()[name], section(served()[name])
    told = re.sub(r"`[^`]+`", "", said.fact("Caller"))
    assert {word for word in WORDS if re.search(rf"\b{word}\b", told)} == await accesses(name)
    limit = said.fact("Limit")
    assert limit == ("none" if endpoint.per_minute is None else f"{endpoint.per_minute:,} a minute")


@pytest.mark.parametrize("name", NAMES)
def test_statuses_functions_and_the_audit_line_are_what_is_declared(name: str) -> None:
    endpoint, said = served()[name], section(served()[name])
    listed = ["; ".join(filter(None, (", ".join(map(str, endpoint.statuses)), ", ".join(map(str, endpoint.errors)))))]
    assert [said.fact("Statuses")] == listed
    assert re.findall(r"`([^`]+)`", said.fact("SQL")) == list(endpoint.functions)
    assert said.fact("AUDIT").partition(":")[0] == f"`{endpoint.audit}`"


@pytest.mark.parametrize("name", NAMES)
def test_the_input_has_these_fields_with_these_bounds(name: str) -> None:
    endpoint = served()[name]
    expected = (
        {} if endpoint.input is None else {path: type_of(field) for path, field in fields(endpoint.input).items()}
    )
    assert dict(section(endpoint).rows("takes")) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_has_these_fields_and_no_others(name: str) -> None:
    endpoint = served()[name]
    named = [path for path, _ in section(endpoint).rows("answers")]
    expected = {path if always(endpoint, path) else f"{path}?" for path in fields(endpoint.answer)}
    assert len(named) == len(set(named))
    assert set(named) | COMMON == expected | COMMON


def always(endpoint: Endpoint, path: str) -> bool:
    """Whether an answer has the field whenever it has what the field is in. A default is left out, or filled in."""
    field = fields(endpoint.answer)[path]
    return field.required or (field.default not in (NODEFAULT, None, False))


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_taken_and_answered(name: str) -> None:
    endpoint = served()[name]
    *asked, answered = section(endpoint).examples()
    for body in asked:
        assert endpoint.input is not None
        msgspec.json.decode(body, type=endpoint.input)
    answer = json.loads(answered)
    assert undescribed(endpoint.answer, answer) == []
    needed = {path for path in fields(endpoint.answer) if "." not in path and always(endpoint, path)}
    assert needed <= answer.keys()


async def test_routes_that_are_no_functions_take_and_answer_what_the_document_says(api: Api) -> None:
    document = (await api.http.get("/schema")).json()
    for path, item in document["paths"].items():
        for method in set(item) - {"parameters"}:
            title, operation = f"{method.upper()} {path}", item[method]
            function = served().get(path.removeprefix(FUNCTIONS))
            if function is not None and function.method == method.upper():
                continue
            taken = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            answer = operation["responses"]["200"].get("content", {}).get("application/json", {})
            told = SECTIONS[title]
            assert {name for name, _ in told.rows("takes")} == taken | _properties(document, body), title
            assert {name.rstrip("?") for name, _ in told.rows("answers")} == _properties(document, answer), title


def _properties(document: Mapping[str, Any], media: Mapping[str, Any]) -> set[str]:
    schema = media.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", {}))


async def test_relations_have_the_columns_that_clients_may_rely_on(admin: asyncpg.Connection) -> None:
    text = GUIDE.partition("## Names in the database")[2].partition("\n# ")[0]
    relations = Section(text).rows("relation")
    assert relations
    rows = await admin.fetch("select table_schema, table_name, column_name from information_schema.columns")
    found = {f"{row['table_schema']}.{row['table_name']}.{row['column_name']}" for row in rows}
    assert {f"{relation}.{column}" for relation, columns in relations for column in columns.split(", ")} <= found
