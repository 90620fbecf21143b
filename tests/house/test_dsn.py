"""One DSN means the same to asyncpg and to PostgreSQL's programs, and never less than it says."""

from __future__ import annotations

import ast
import re
import ssl
from pathlib import Path
from urllib.parse import unquote

import pytest

from src.commands import clients
from src.database.dsn import Dsn, fault, for_asyncpg, for_libpq
from src.edge.errors import SettingsError
from src.settings import from_environment

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
        "postgresql://a@%2Frun%2Fpostgresql/d",
        "postgresql://a@localhost:5432/d",
        "postgresql://a@127.0.0.1,[::1]:6432/d",
        "postgresql://a@postgres:5432/d",
        "postgresql://a@10.1.2.3/d",
        "postgresql://a@db.internal/d",
        "postgresql://a@my_database-1/d",
        "postgresql://a@[fe80::1%25eth0],[fd00::1]/d",
    ],
)
def test_a_server_that_is_near_need_not_prove_who_it_is(near: str) -> None:
    assert str(Dsn.of(near).verified({})) == near


@pytest.mark.parametrize(
    ("far", "environ", "expected"),
    [
        ("postgresql://a@db.example.org/d", {}, VERIFIED),
        ("postgresql:///d?host=db.example.org", {}, VERIFIED),
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


@pytest.mark.parametrize(
    "host",
    [
        "134744072",
        "0x08080808",
        "0x8.0x8.2056",
        "010.8.8.8",
        "8.2056",
        "01002004010",
        "8.8.8.8",
        "8.8.8.8.",
        "localhost.",
        "localhost.evil.com",
        "internal.evil.com",
        ".internal",
        "db.internal.",
        "0.0.0.0",  # noqa: S104 - where a client is sent
        "0",
        "100.64.0.1",
        "203.0.113.9",
        "198.18.0.1",
        "240.0.0.1",
        "172.32.0.1",
        "192.169.0.1",
        "[::ffff:8.8.8.8]",
        "[::ffff:808:808]",
        "[::8.8.8.8]",
        "[64:ff9b::808:808]",
        "[64:ff9b::10.0.0.1]",
        "[2002:808:808::1]",
        "[2002:a00:1::1]",
        "[2001::1]",
        "[2001:4860:4860::8888]",
        "[2001:4860:4860::8888%25lo]",
        "%38.8.8.8",
        "%31%33%34744072",
        "localhost,134744072",
        "localhost:5432,0x08080808:5432",
    ],
)
def test_a_host_is_what_the_system_takes_it_for(host: str) -> None:
    """Numbers that getaddrinfo reads are addresses, and only what is surely near is taken for that."""
    for dsn in (f"postgresql://a:geheim@{host}/d", f"postgresql://a:geheim@near/d?host={unbracketed(host)}"):
        assert not Dsn.of(dsn).is_near({})
        assert "sslmode=verify-full" in for_asyncpg(dsn, {})
        assert "sslmode=verify-full" in for_libpq(dsn, {})[0]
    assert not Dsn.of("postgresql:///d").is_near({"PGHOST": unbracketed(unquote(host))})
    assert not Dsn.of("postgresql://:5432/d").is_near({"PGHOST": unbracketed(unquote(host))})


def unbracketed(host: str) -> str:
    return re.sub(r"[\[\]]|:5432", "", host)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0xa000001", "[::ffff:10.0.0.1]", "0300.0250.1.1"])
def test_a_private_address_is_near_in_any_spelling(host: str) -> None:
    assert Dsn.of(f"postgresql://a@{host}/d").is_near({})


@pytest.mark.parametrize(
    "host",
    [
        "\uff18.8.8.8",
        "8\u30028\u30028\u30028",
        "%EF%BC%98.8.8.8",
        "bücher",
        "loc%00alhost",
        "localhost%20",
        "localhost%2F..",
        "localhost\t",
        "localhost#.evil.com",
        "db.example.org#",
        "%40abstract",
        "[::1]evil.com",
        "[::1",
        "::1",
        "localhost%3A5432.evil.com",
        "localhost%40evil.com",
        "localhost,,evil.com",
        ",evil.com",
    ],
)
def test_a_host_that_readers_may_take_for_different_ones_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="database's URL") as refused:
        Dsn.of(f"postgresql://a:geheim@{host}/d")
    assert "geheim" not in str(refused.value)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize("name", ["service", "servicefile", "hostaddr", "%73ervice", "host%61ddr"])
@pytest.mark.parametrize("host", ["", "localhost", "localhost:5432"])
def test_no_parameter_leads_to_another_host(name: str, host: str) -> None:
    dsn = f"postgresql://a:geheim@{host}/d?{name}=far"
    for read in (for_asyncpg, for_libpq):
        with pytest.raises(ValueError, match="name the host in the URL"):
            read(dsn, {})


def test_no_variable_leads_postgresqls_programs_to_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    services = tmp_path / "services"
    services.write_text("[far]\nhost=8.8.8.8\nhostaddr=8.8.8.8\n")
    for name, value in {"PGHOSTADDR": "8.8.8.8", "PGSERVICE": "far", "PGSERVICEFILE": str(services)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGHOST", str(tmp_path))
    # Where psql looks is what it says when nobody is there.
    for dsn in ("postgresql://a@localhost:1/d?sslmode=disable", "postgresql://:1/d"):
        assert clients.run("psql", dsn, "--command=select 1") == 2
        said = capfd.readouterr().err
        assert "8.8.8.8" not in said
        assert "127.0.0.1" in said or str(tmp_path) in said


@pytest.mark.parametrize("user", ["x@8.8.8.8:5432,x", "x%408.8.8.8,x", "x@8.8.8.8"])
def test_nothing_before_the_last_at_is_a_host(user: str) -> None:
    dsn = f"postgresql://{user}@localhost/d"
    for shown in (for_asyncpg(dsn, {}), for_libpq(dsn, {})[0]):
        assert re.fullmatch(r"postgresql://[^@]+@localhost/d", shown)


@pytest.mark.parametrize(
    "dsn", ["postgresql://a@db.example.org/d#?sslmode=require", "postgresql://h/a#b?sslmode=require"]
)
def test_nothing_is_cut_off_as_a_fragment(dsn: str) -> None:
    assert "#" not in for_asyncpg(dsn, {})
    assert "sslmode=require" in for_asyncpg(dsn, {})


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://a:S3cr3t/x@h/d",
        "postgresql://a:S3cr3t?x@h/d",
        "postgresql://a:12/S3cr3t@h/d",
        "postgresql://a:12?x=S3cr3t@h/d",
        "postgresql://a:1/S3cr3t?x@h:5432/d?sslmode=require",
        "postgresql://a:S3cr3t#x@h/d/@",
        "postgresql://a@h:99999/d?application_name=S3cr3t",
        "postgresql://a:S3cr3t@h:0/d",
        "postgresql://a:S3cr3t@h:-1/d",
        "postgresql://a:S3cr3t@h:eins/d",
        "postgresql://a:S3cr3t@h:\u0663/d",
        "postgresql://a:S3cr3t@h:+1/d",
        "postgresql://a:S3cr3t@h:1_000/d",
        "postgresql://a:S3cr3t@h:65536/d",
        "postgresql://a:S3cr3t@h:5432:5433/d",
        "postgresql://a:S3cr3t@h%3A99999/d",
        f"postgresql://a:S3cr3t@h:{'9' * 5000}/d",
        "postgresql://a:S3cr3t@h/d?port=99999",
        "postgresql://a:S3cr3t@h/d?port=x",
        "postgresql://a:S3cr3t@h/d?port=1,2",
        "postgresql://a:S3cr3t@h,i/d?port=1,",
        "postgresql://a:S3cr3t@h/d?sslmode=S3cr3t",
        "postgresql://a:S3cr3t@h/d?host=S3cr3t:1",
        "postgresql://[a:S3cr3t]@[h/d",
    ],
)
def test_what_cannot_be_read_is_named_in_one_line_without_any_part_of_it(dsn: str) -> None:
    wrong = fault(dsn, {})
    assert wrong
    assert "\n" not in wrong
    assert "S3cr3t" not in wrong
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: [^\n]+$") as refused:
        from_environment({"JWT_SECRET": "x", "DATABASE_URL": dsn})
    assert "S3cr3t" not in str(refused.value)


@pytest.mark.parametrize("port", ["99999", "eins", "0", "-1", "1,x"])
def test_a_port_of_the_environment_is_one(port: str) -> None:
    assert "PGPORT" in str(fault("postgresql://a@h/d", {"PGPORT": port}))


def test_a_port_counts_wherever_it_stands() -> None:
    for dsn in ("postgresql://a@h:1/d", "postgresql://a@h/d?port=1", "postgresql://a@x:2/d?host=h&port=1"):
        assert for_asyncpg(dsn, {}) == for_libpq(dsn, {})[0] == "postgresql://a@h:1/d"
    assert str(Dsn.of("postgresql://a@h,i/d?port=1,2")) == "postgresql://a@h:1,i:2/d"
    assert str(Dsn.of("postgresql://a@:1/d")) == "postgresql://a@/d?port=1"


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
    assert {name for name in found if not re.search(r"commands/(db|backup|clients|archive)\.py", name)} == {
        "database/opened.py"
    }


# Who runs commands, and is told what the server says.
OPERATORS = {"src/commands", "src/database/apply.py", "src/logins.py", "src/adapters/postgres/seed.py"}


def test_who_connects_for_callers_keeps_what_the_server_says() -> None:
    raw = {
        path.relative_to(SRC.parent)
        for path in SRC.rglob("*.py")
        if re.search(r"^from src\.database\.opened import .*\bconnect\b", path.read_text(), re.MULTILINE)
    }
    assert {path for path in raw if not {str(path), str(path.parent)} & OPERATORS} == set()
