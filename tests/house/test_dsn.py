"""One DSN means the same to asyncpg and to PostgreSQL's programs, and never less than it says."""

from __future__ import annotations

import ast
import re
import ssl
from pathlib import Path

import pytest

from src.dsn import Dsn, fault, for_asyncpg, for_libpq

SRC = Path(__file__).parents[2] / "src"
TRUSTED = ssl.get_default_verify_paths().cafile
VERIFIED = f"sslmode=verify-full&sslrootcert={TRUSTED}"


@pytest.fixture(autouse=True)
def _nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    "near",
    [
        "postgresql://a@/d",
        "postgresql:///d?host=/run/postgresql",
        "postgresql://a@%2Frun%2Fpostgresql/d",
        "postgresql://a@localhost:5432/d",
        "postgresql://a@127.0.0.1,[::1]:6432/d",
        "postgresql://a@postgres:5432/d",
        "postgresql://a@10.1.2.3/d",
        "postgresql://a@db.internal/d",
    ],
)
def test_a_server_that_is_near_need_not_prove_who_it_is(near: str) -> None:
    assert str(Dsn.of(near).verified({})) == near


@pytest.mark.parametrize(
    ("far", "environ", "expected"),
    [
        ("postgresql://a@db.example.org/d", {}, VERIFIED),
        ("postgresql:///d?host=db.example.org", {}, f"host=db.example.org&{VERIFIED}"),
        ("postgresql:///d", {"PGHOST": "localhost,db.example.org"}, VERIFIED),
        ("postgresql://a@near,db.example.org:6432/d", {}, VERIFIED),
        ("postgresql://a@93.184.216.34/d", {}, VERIFIED),
        ("postgresql://a@db.example.org/d?sslrootcert=/a", {}, "sslrootcert=/a&sslmode=verify-full"),
        ("postgresql://a@db.example.org/d", {"PGSSLROOTCERT": "/a"}, "sslmode=verify-full&sslrootcert=/a"),
        ("postgresql://a@db.example.org/d", {"PGSSLMODE": "disable"}, "sslmode=disable"),
        ("postgresql://a@db.example.org/d?sslmode=require", {}, "sslmode=require"),
        ("postgresql://a@db.example.org/d?sslmode=prefer", {}, "sslmode=prefer"),
        ("postgresql://a@localhost/d?sslmode=verify-full", {}, VERIFIED),
        ("postgresql://a@localhost/d?sslrootcert=system", {}, f"sslrootcert={TRUSTED}&sslmode=verify-full"),
    ],
)
def test_a_server_that_is_not_near_proves_who_it_is_unless_told_otherwise(
    far: str, environ: dict[str, str], expected: str
) -> None:
    assert str(Dsn.of(far).verified(environ)).partition("?")[2] == expected
    assert for_asyncpg(far, environ).partition("?")[2] == expected
    assert for_libpq(far, environ)[0].partition("?")[2] == expected


def test_a_certificate_in_the_home_folder_counts_as_with_libpq(tmp_path: Path) -> None:
    own = tmp_path / ".postgresql" / "root.crt"
    own.parent.mkdir()
    own.touch()
    assert Dsn.of("postgresql://a@db.example.org/d").verified({}).value("sslrootcert") == str(own)


@pytest.mark.parametrize(
    ("given", "asyncpg", "libpq"),
    [
        ("application_name=a%20b", "application_name=a%20b", "application_name=a%20b"),
        ("options=-c%20jit%3Doff", "options=-c%20jit%3Doff", "options=-c%20jit%3Doff"),
        ("target_session_attrs=primary", "target_session_attrs=primary", "target_session_attrs=primary"),
        ("sslmode=require&sslcert=/c%2B1&sslkey=/k", "sslmode=require&sslcert=/c%2B1&sslkey=/k", None),
        ("passfile=/a+b", "passfile=/a%2Bb", "passfile=/a+b"),
        ("connect_timeout=3&keepalives=1&tcp_user_timeout=5", "", None),
        ("client_encoding=UTF8&load_balance_hosts=random&sslsni=1", "", None),
        ("gssencmode=prefer&channel_binding=prefer", "", None),
        ("database=x", "database=x", "dbname=x"),
        ("search_path=%22a%20b%22", "search_path=%22a%20b%22", r"options=-c%20search_path%3D%22a%5C%20b%22"),
        ("jit=off&options=-c%20a.b%3D1", "jit=off&options=-c%20a.b%3D1", "options=-c%20a.b%3D1%20-c%20jit%3Doff"),
        ("sslmode=&application_name=", "", None),
    ],
)
def test_both_are_told_the_same(given: str, asyncpg: str, libpq: str | None) -> None:
    dsn = f"postgresql://a@h/d?{given}"
    assert for_asyncpg(dsn, {}).partition("?")[2] == asyncpg
    assert for_libpq(dsn, {})[0].partition("?")[2] == (given if libpq is None else libpq)


def test_an_old_program_is_not_told_what_it_does_not_know() -> None:
    dsn = "postgresql://a@h/d?sslmode=require&sslnegotiation=direct&load_balance_hosts=random"
    assert for_libpq(dsn, {}, 15)[0].partition("?")[2] == "sslmode=require"
    assert for_libpq(dsn, {}, 16)[0].partition("?")[2] == "sslmode=require&load_balance_hosts=random"
    assert for_libpq(dsn, {}, 18)[0] == dsn


@pytest.mark.parametrize(
    ("demand", "told"),
    [
        ("channel_binding=require", "say sslmode=verify-full instead"),
        ("require_auth=scram-sha-256", "say sslmode=verify-full instead"),
        ("gssencmode=require", "nothing that the service can do"),
        ("hostaddr=10.0.0.1", "nothing that the service can do"),
        ("requirepeer=postgres", "nothing that the service can do"),
        ("sslcrldir=/c", "nothing that the service can do"),
        ("sslmode=require&sslrootcert=system", "worth nothing with sslmode=require"),
    ],
)
def test_what_cannot_be_demanded_is_refused(demand: str, told: str) -> None:
    wrong = fault(f"postgresql://a@h/d?{demand}", {})
    assert wrong is not None
    assert told in wrong


def test_a_name_that_is_proved_is_as_good_as_a_bound_channel() -> None:
    dsn = "postgresql://a@db.example.org/d?channel_binding=require&require_auth=scram-sha-256"
    assert for_asyncpg(dsn, {}).partition("?")[2] == VERIFIED
    assert for_libpq(dsn, {})[0].startswith(dsn)


@pytest.mark.parametrize("letters", ["p@ss", "p:ss", "p/ss", "p?ss", "p#ss", "p%ss", "p+ss", "p[ss", "pässword"])
def test_a_password_may_have_any_letters(letters: str) -> None:
    dsn = Dsn.of("postgresql://a@h/d").with_values({"password": letters})
    read = Dsn.of(str(dsn))
    assert for_libpq(str(read), {})[1] == {"PGPASSWORD": letters}
    assert Dsn.of(for_asyncpg(str(dsn), {})).password.count("@") == 0


@pytest.mark.parametrize("query", ["%70assword=geheim", "passwor%64=geheim"])
def test_a_parameters_name_may_be_encoded(query: str) -> None:
    shown, secret = for_libpq(f"postgresql://a@h/d?{query}", {})
    assert "geheim" not in shown
    assert secret == {"PGPASSWORD": "geheim"}


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://a@h/d?PASSWORD=geheim",
        "postgresql://a@h/d?ssl%70assword=geheim",
        "postgresql://a@h/d?x-password=geheim",
        "host=h password=geheim",
        "jdbc:postgresql://a:geheim@h/d",
        "a:geheim@h/d",
        "postgresql:/a:geheim@h/d",
    ],
)
def test_no_password_becomes_an_argument_or_part_of_a_message(dsn: str) -> None:
    with pytest.raises(ValueError, match="URL") as refused:
        for_libpq(dsn, {})
    assert "geheim" not in str(refused.value)
    assert "geheim" not in str(fault(dsn, {}))


def test_there_is_one_way_to_the_database() -> None:
    """A connection that is opened otherwise would go by other rules."""
    found = set()
    for file in SRC.rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"asyncpg.connect", "asyncpg.create_pool"}:
                found.add(file.relative_to(SRC).as_posix())
            if isinstance(node, ast.Constant) and node.value in {"psql", "pg_dump", "pg_restore"}:
                found.add(f"{node.value}: {file.relative_to(SRC).as_posix()}")
    assert {name for name in found if not re.search(r"commands/(db|backup|clients)\.py", name)} == {
        "adapters/postgres/opened.py"
    }
