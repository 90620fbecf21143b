"""The service's own SQL as pgbench scripts, so that both sides run the same statement."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from src.adapters.postgres.database import call_statement
from src.commands.local import OPS_USER
from src.settings import OFFLINE_SWITCHES

CLAIMS = json.dumps({"role": "authenticated", "sub": OPS_USER})
DEFINES: Mapping[str, str] = {"claims": CLAIMS, "request": "bench", "switches": json.dumps(OFFLINE_SWITCHES)}

SETTINGS = (
    "select set_config('request.jwt.claims', :claims, true), set_config('request.id', :request, true),"
    " set_config('request.switches', :switches, true)"
)


def one_statement(function: str, **arguments: str) -> str:
    """`function` in the one statement the service sends; `arguments` are SQL expressions by parameter name."""
    statement = call_statement(function, tuple(arguments))
    values = [":claims", ":request", ":switches", *arguments.values()]
    return re.sub(r"\$(\d+)", lambda number: values[int(number.group(1)) - 1], statement) + ";\n"


def four_trips(function: str, **arguments: str) -> str:
    """The same as PostgREST sends it: BEGIN, the settings, the query, COMMIT."""
    given = ", ".join(f"{name} => {value}" for name, value in arguments.items())
    return in_transaction(f"select {function}({given})::text")


def in_transaction(query: str) -> str:
    """A query in four trips."""
    return f"begin;\n{SETTINGS};\n{query};\ncommit;\n"


def pipelined(query: str) -> str:
    """The settings and the query sent together."""
    return f"\\startpipeline\nbegin;\n{SETTINGS};\n{query};\ncommit;\n\\endpipeline\n"


def call_of(function: str, kept: str, **arguments: str) -> str:
    """`one_statement` whose answer `r` gives pgbench the variable that `kept` selects from it."""
    statement = one_statement(function, **arguments).removesuffix(";\n")
    return f"select {kept} from (select ({statement})::json as r) answer \\gset\n"
