"""The register of rule names: SQL, Python and documentation hold each other."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg

from src.adapters.postgres.errors import MEANINGS, RULES
from src.database.errors import TRANSIENT_CODES
from src.http.problems import status_and_code

SQL = Path(__file__).parents[2] / "sql"
RAISED = re.compile(r"(?:constraint\s*=\s*|sec\.refuse\()'(\w+)'")
STATEMENT = re.compile(r"raise exception.*?;|perform sec\.refuse\('.*?;", re.DOTALL)
SQLSTATE = re.compile(r"errcode\s*=\s*'(\w+)'|'(PT\d+)'\)")
# In sec.refuse() itself, whose callers name the rule.
PASSED_ON = "constraint = p_rule"
TO_OBJECT = re.compile(r"('[^']*'|\w+\([^()]*\)|[\w.$]+)::reg\w+")


PARSES = re.compile(r"json\.loads\(|json\.decode\(|raw_decode\(|JSONDecoder\(|\.json\(\)|from_json\(")
# Files of our own, our own settings, what PostgreSQL says of itself, and claims, which the authenticator has looked at.
TRUSTED = {
    "adapters/fixtures/inventory.py",
    "adapters/fixtures/lists.py",
    "adapters/fixtures/search.py",
    "rest/catalog/routines.py",
    "rest/run/runners.py",
    "adapters/postgres/seed.py",
    "commands/check_database.py",
    "commands/circuit.py",
    "rest/protocol/openapi_schemas.py",
    "http/me.py",
    "http/openapi.py",
    "rest/server/options.py",
}


def raised_rules() -> set[tuple[str, str]]:
    """Rules and the SQLSTATE of each."""
    found = set()
    for file in SQL.rglob("*.sql"):
        for statement in STATEMENT.findall(file.read_text()):
            code = SQLSTATE.search(statement)
            found |= {(rule, code[1] or code[2] if code else "42501") for rule in RAISED.findall(statement)}
    return found


def test_every_sqlstate_that_sql_raises_has_a_meaning_and_every_rule_one_sqlstate() -> None:
    raised = raised_rules()
    assert {rule for rule, code in raised if code not in (*MEANINGS, *TRANSIENT_CODES)} <= set(RULES)
    assert len(raised) == len(dict(raised)) > 80


def test_the_status_is_in_the_sqlstate() -> None:
    for code, meaning in MEANINGS.items():
        assert status_and_code(meaning(""))[0] == int("403" if code == "42501" else code.removeprefix("PT")), code
    documented = re.findall(r"^\| `(\w{5})` \|", (SQL / "README.md").read_text(), flags=re.MULTILINE)
    assert documented == [*MEANINGS, "23xxx"]


async def test_the_register_names_rules_that_are_told_apart_by_nothing_else(admin: asyncpg.Connection) -> None:
    declared = {row["conname"] for row in await admin.fetch("select conname from pg_constraint")}
    raised = dict(raised_rules())
    assert set(RULES) <= set(raised) | declared
    for rule, meaning in RULES.items():
        told = MEANINGS.get(raised.get(rule, ""))
        assert told is None or (meaning is not told and issubclass(meaning, told)), rule


def test_every_raise_names_its_rule() -> None:
    for file in SQL.rglob("*.sql"):
        for statement in re.findall(r"raise exception.*?;", file.read_text(), flags=re.DOTALL):
            assert RAISED.search(statement) or PASSED_ON in statement, f"{file.name}: {statement}"


def test_who_is_refused_and_may_come_back_as_ops_is_told_how() -> None:
    """By sec.refuse(), but for what ops may not do either."""
    for_nobody = {"member_only", "privacy_audit_own"}
    for file in SQL.rglob("*.sql"):
        for statement in re.findall(r"raise exception.*?;", file.read_text(), flags=re.DOTALL):
            if re.search(r"errcode\s*=\s*'(42501|PT403)'", statement):
                assert set(RAISED.findall(statement)) <= for_nobody, f"{file.name}: {statement}"


def test_grants_stand_in_one_file() -> None:
    for folder in ("functions", "views"):
        for file in (SQL / folder).glob("*.sql"):
            assert not re.search(r"^\s*(grant|revoke)\s", file.read_text(), flags=re.MULTILINE), file.name


def test_functions_files_drop_nothing() -> None:
    for file in (SQL / "functions").glob("*.sql"):
        assert not re.search(r"^\s*drop\s", file.read_text(), flags=re.MULTILINE), file.name


def test_no_name_is_read_as_sql() -> None:
    """`name::regrole` folds case and stops at blanks: only an oid, a constant or a quoted name is cast so."""
    for file in (*SQL.rglob("*.sql"), *(SQL.parent / "src").rglob("*.py")):
        for operand in TO_OBJECT.findall(file.read_text()):
            assert operand[0] == "'" or operand.startswith("quote_ident(") or operand.endswith("id"), file


def test_nobody_parses_json_of_any_depth() -> None:
    """What comes from outside is looked at first; what the database answers is read in one place."""
    source = SQL.parent / "src"
    for file in source.rglob("*.py"):
        text, name = file.read_text(), file.relative_to(source).as_posix()
        if PARSES.search(text) and name not in TRUSTED:
            assert "require_within" in text or "except RecursionError" in text, name
