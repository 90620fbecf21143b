"""One table of settings: code, documents and containers name what it has, and every wrong value is one line."""

from __future__ import annotations

import argparse
import ast
import base64
import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import sampling

from src.app import authenticator_of
from src.commands import settings as command
from src.commands.settings import rows
from src.composition import compose
from src.edge.errors import SettingsError
from src.rest.server.settings import OPTIONS, rest_settings
from src.settings import declared, from_environment
from src.settings.libraries import WEAKENED
from src.settings.table import TABLE
from tests.support.postgres import JWT_SECRET
from tests.support.processes import ROOT, ecotrips, environment
from tests.support.settings_page import ELSEWHERE, FAMILIES, PAGE, page

BASE = {"JWT_SECRET": JWT_SECRET, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
ROWS = {row.name: row for row in rows()}
OTHERS = {name for group in ELSEWHERE.values() for name in group}
NAME = re.compile(r"(?<![\w%])(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|PG[A-Z]{3,}|PORT)(?![\w…])")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "compose.yaml", "Dockerfile")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
]
# What dev.env gives to shells, beside settings.
OF_SHELLS = {"BASE_URL", "SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "OPS_TOKEN", "USER_TOKEN"}
# What makes a library look at its settings.
USED = {"AWS": {"STORAGE_URL": "s3://ecotrips"}, "OTEL": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}}
OF_THE_KERNEL = ("AF_", "CAP_")  # in systemd's units
HOSTILE = (
    " ",
    "text",
    "0",
    "-1",
    "9" * 20,
    "9" * 5000,
    "NaN",
    "Infinity",
    "1e3",
    "٣",
    "\x1b[31mred",
    "two\nlines",
    "bytes\udcff",
    "trailing ",
    ",",
    "a,,b",
    "http://",
    "https://[",
    "http://host:99999",
    "postgresql://host:99999/d",
    "postgresql://host/d?sslmode=perhaps",
    "file://relative",
    "s3://",
    "{",
    "/nowhere/at/all",
    "/etc/passwd",
    "/etc",
    "/etc/passwd/below",
    "x" * 5000,
)


def test_the_table_has_every_setting_that_is_read_and_no_other() -> None:
    assert set(ROWS) == set(declared({}, production=False).declared) == set(declared({}, production=True).declared)
    assert len(ROWS) == sum(map(len, TABLE.values()))
    assert not OTHERS & set(ROWS)
    for row in ROWS.values():
        assert row.meaning.endswith("."), row.name
        assert row.kind, row.name
        assert row.example, row.name


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tests.support.settings_page"


def reads_of_the_environment(tree: ast.AST) -> Iterator[str]:
    """The names that a module asks the environment for, however it writes that."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=place, slice=ast.Constant(value=str(name))) if "environ" in ast.unparse(place):
                yield name
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if re.search(
                r"environ\.\w+$|getenv$", ast.unparse(function)
            ):
                yield name
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[place]) if "environ" in ast.unparse(
                place
            ):
                yield name


def test_everything_that_the_code_reads_of_the_environment_is_in_the_table() -> None:
    found = {
        name: file
        for file in (ROOT / "src").rglob("*.py")
        for name in reads_of_the_environment(ast.parse(file.read_text()))
    }
    assert {"PGHOST", "OTEL_TRACES_SAMPLER"} <= set(found), "nothing was looked at"
    assert {name: file for name, file in found.items() if name.upper() not in {*ROWS, *OTHERS}} == {}


def test_tests_and_benches_read_what_the_table_has() -> None:
    known = {*ROWS, *OTHERS, "CI", "DOCKER_HOST", "XDG_CACHE_HOME"}
    for folder in ("tests", "bench"):
        for file in (ROOT / folder).rglob("*.py"):
            for name in reads_of_the_environment(ast.parse(file.read_text())):
                if name.isupper():
                    assert name in known, f"{file}: {name}"


def test_every_setting_that_documents_and_containers_name_exists() -> None:
    codes = set(re.findall(r"[\"']([A-Z]+(?:_[A-Z]+)+)[\"']", (ROOT / "src" / "http" / "problems.py").read_text()))
    # Names of code and of log lines.
    named = {"DEFAULT_SCHEMAS", "WEAKENED", "MOCK_REFUND"}
    known = {*ROWS, *OTHERS, *OF_SHELLS, *WEAKENED, *codes, *named}
    for document in DOCUMENTS:
        text = document.read_text()
        own = set(re.findall(r"^\s*(?:export )?([A-Z_]+)(?:=|\s*:?=)", text, flags=re.MULTILINE))
        own -= {name for name in own if document.name in ("compose.yaml", "Dockerfile")}
        unknown = {
            name
            for name in NAME.findall(text)
            if name.removeprefix("OLD_") not in known | own and not name.startswith((*FAMILIES, *OF_THE_KERNEL))
        }
        assert not unknown, f"{document}: {unknown}"


def test_what_compose_sets_is_in_the_table() -> None:
    text = (ROOT / "compose.yaml").read_text()
    set_there = {*re.findall(r"^\s+([A-Z][A-Z_]+):", text, flags=re.MULTILINE), *re.findall(r"\$\{([A-Z_]+)", text)}
    assert "JWT_SECRET" in set_there
    assert set_there <= {*ROWS, *OTHERS}


def test_every_example_is_accepted() -> None:
    for row in ROWS.values():
        elsewhere = re.search(r"[…$(]", row.example) or "file" in row.kind or "folder" in row.kind
        if not elsewhere and row.name != "ECOTRIPS_ENV":  # production wants more
            from_environment({**BASE, row.name: row.example})


def test_every_default_is_accepted() -> None:
    for row in ROWS.values():
        if row.default and ";" not in row.default:
            from_environment({**BASE, row.name: row.default})


def refusal(given: Mapping[str, str]) -> list[str]:
    """The lines of what is said against these settings."""
    try:
        from_environment(given)
    except SettingsError as error:
        return str(error).split("\n")
    return []


@pytest.mark.parametrize("name", ROWS)
def test_every_wrong_value_is_one_line_that_names_its_setting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = {**BASE, **USED.get(name.partition("_")[0], {})}
    from_environment({**base, name: base.get(name, "")})  # an empty one is not set
    for used, value in base.items():
        monkeypatch.setenv(used, value)
    for value in HOSTILE:
        given = {**base, name: value}
        said = refusal(given)
        for line in said:
            assert line.startswith((f"{name} ", f"{name}:")), (value, line)
            assert line.isprintable(), (value, line)
            assert len(line) < 500, (value, line)
            assert len(value.strip()) < 5 or value.strip() not in line, (value, line)
        if not said:
            monkeypatch.setenv(name, value)
            try:
                accepted = from_environment(given)
                authenticator_of(accepted)
                compose(replace(accepted, traced=False))
                if accepted.traced:
                    OTLPMetricExporter()
                    OTLPSpanExporter()
                    sampling._get_from_env_or_default()  # noqa: SLF001 - what a TracerProvider asks first
            except SettingsError as error:
                assert re.match(rf"{name} .*$", str(error))  # noqa: PT017 - it may also be accepted


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["demo"], "PORT", "99999"),
        (["serve"], "PORT", "abc"),
        (["check"], "PORT", "0"),
        (["worker", "--once"], "STRIPE_MOCK_MODE", "yes"),
        (["db", "status"], "POSTGRES_PORT", "abc"),
        (["db", "start"], "POSTGRES_PORT", "99999"),
        (["db", "start"], "POSTGRES_BIN", "/nowhere"),
        (["db", "stop"], "POSTGRES_BIN", "/etc"),
        (["db", "status"], "DATA_DIR", "/etc/passwd"),
        (["db", "apply"], "DATA_DIR", "/etc/passwd/below"),
        (["psql"], "LOG_LEVEL", "loud"),
        (["token", "anon"], "HBX_MARKUP_PERCENT", "NaN"),
        (["flags", "list"], "OTEL_METRIC_EXPORT_INTERVAL", "often"),
        (["db", "apply"], "STORAGE_URL", "ftp://files"),
    ],
)
def test_commands_say_it_before_anything_starts(tmp_path: Path, words: list[str], name: str, value: str) -> None:
    ran = ecotrips(tmp_path, *words, **{name: value})
    said = ran.stdout if words == ["check"] else ran.stderr
    assert ran.returncode == 1, said
    assert re.match(rf"(ecotrips: |BAD  settings       ){name} must .*\n", said), said
    assert value not in said or value in ROWS[name].kind
    assert len(ran.stderr.splitlines()) <= 1
    assert list(tmp_path.iterdir()) == []


def shown(folder: Path, *arguments: str, **changes: str) -> Mapping[str, Mapping[str, str]]:
    ran = ecotrips(folder, "settings", "--json", *arguments, **changes)
    return {setting["name"]: setting for setting in json.loads(ran.stdout)["settings"]}


def test_settings_are_shown_with_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "switches.env").write_text("STRIPE_MOCK_MODE=1\nWA_OFFLINE=1\n")
    found = shown(tmp_path, PORT="8123", WA_OFFLINE="0", JWT_SECRET="")
    assert found.keys() == ROWS.keys()
    sources = {
        "PORT": ("8123", "environment"),
        "WA_OFFLINE": ("0", "environment"),
        "STRIPE_MOCK_MODE": ("1", "installation"),
        "DATABASE_URL": ("embedded", "installation"),
        "JWT_SECRET": ("made at the first start", "installation"),
        "LOG_LEVEL": ("INFO", "default"),
        "PUBLIC_URL": ("", "not set"),
    }
    assert {name: (found[name]["value"], found[name]["source"]) for name in sources} == sources
    assert [path.name for path in tmp_path.iterdir()] == [".data"]
    given = shown(tmp_path, DATABASE_URL=BASE["DATABASE_URL"], JWT_SECRET=JWT_SECRET)
    assert given["STRIPE_MOCK_MODE"]["source"] == "default"
    assert (given["LINK_SECRETS"]["value"], given["LINK_SECRETS"]["source"]) == ("set", "derived from JWT_SECRET")
    one = ecotrips(tmp_path, "settings", "PORT", PORT="")
    assert one.stdout.startswith("This installation\n  PORT = 8000 (default)\n")


def test_faulty_settings_are_shown_and_named(tmp_path: Path) -> None:
    ran = ecotrips(tmp_path, "settings", PORT="abc", ECOTRIPS_ENV="live", DATA_DIR="/etc/passwd", LOG_LEVEL="\x1b[1m")
    assert ran.returncode == 1
    for name, value in (("PORT", "abc"), ("ECOTRIPS_ENV", "live"), ("DATA_DIR", "/etc/passwd")):
        assert re.search(rf"^ecotrips: {name} must be .*; what is set has {len(value)} ch", ran.stderr, re.MULTILINE)
        assert f"  {name} = ({len(value)} characters) (environment)\n" in ran.stdout
        assert f"      BAD: {name} must be" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


CHANCE = random.Random(4)
SHORT = "geheim7Kq"
PEM = "-----BEGIN PRIVATE KEY-----{0}MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v{0}-----END PRIVATE KEY-----{0}"
# A secret, and the text in which it stands where it should not.
PLANTED = [
    *(
        (made, made)
        for made in (
            CHANCE.randbytes(8).hex(),
            CHANCE.randbytes(32).hex(),
            str(UUID(int=CHANCE.getrandbits(128), version=4)),
        )
    ),
    *(
        (made, made)
        for made in (
            base64.b64encode(CHANCE.randbytes(32)).decode(),
            base64.urlsafe_b64encode(CHANCE.randbytes(32)).decode(),
        )
    ),
    *(
        (f"{kind}abcdefghijkl", f"{kind}abcdefghijkl")
        for kind in ("sk_live_", "rk_live_", "whsec_", "sk-proj-", "ghp_", "EAAG")
    ),
    ("eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"),
    ("wJalrXUtnFEMI", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v", PEM.format("\n")),
    ("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v", PEM.format("\\n")),
    *(
        (SHORT, text.format(SHORT))
        for text in (
            *("postgresql://u:{}@h/d", "postgresql://u:{}@h,i:5432/d?sslmode=require", "postgresql://h/d?password={}"),
            *("postgresql://h/d?%70assword={}", "postgresql://h/d?user=u&sslpassword={}", "postgresql://{}@h/d"),
            *("postgresql://h/d?options=-c%20x={}", "postgresql://u:a@b:{}@h/d", "postgresql://u:{}?x@h/d"),
            *(
                "postgresql://u:{}/x@h/d",
                "postgresql://u:x/{}@h/d",
                "postgresql://u:x#{}@h/d",
                "postgresql://u:{}#@h/d",
            ),
            *(
                "postgresql://u:x?{}=y@h/d",
                "postgresql://u:x@{}/y?z=1@h/d",
                "postgresql://u:{}",
                "postgresql:/u:{}@h/d",
            ),
            *(
                "postgresql://h/d;password={}",
                "postgresql://u;{}@h/d",
                "postgresql://u;{}:x@h/d",
                "postgresql://h/d#{}",
            ),
            *(
                "postgresql://h/d?x={}",
                "postgresql://h/d?{}=x",
                "postgresql://h/d?sslrootcert=x;{}",
                "postgresql://h;{}/d",
            ),
            *("host=h password={}", "u:{}@h", "mysql://u:{}@h", "https://{}@h", "https://u:{}@h/a", "https://u:{}/a@h"),
            *("https://u:1/{}@h", "https://u:1?{}@h", "https://u:1#{}@h", "https://h/?token={}", "https://h/#{}"),
            *("https://h/a;{}", "s3://k:{}@bucket", "s3://bucket?{}", "s3://bucket#{}", "file:///data?{}", "a={}@h"),
            *('{{"keys": ["{}"]}}', '{{"keys": [{{"kty": "{}"}}]}}', "{}\x1b[1m", " {}", "{},,", "10.0.0.0/8,{}"),
        )
    ),
]
assert all(secret in text for secret, text in PLANTED)


@pytest.mark.parametrize(("secret", "text"), PLANTED, ids=range(len(PLANTED)))
def test_nothing_of_a_secret_is_shown_wherever_it_stands(
    tmp_path: Path, secret: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ROWS:
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("STORAGE_URL", "s3://bucket")  # so that AWS_… are judged
    for word in ("development", "production", text):
        monkeypatch.setenv("ECOTRIPS_ENV", word)
        for as_json in (False, True):
            command.show(argparse.Namespace(names=[], json=as_json))
            said = "".join(capsys.readouterr())
            assert said.count("STRIPE_SECRET_KEY"), said
            assert secret not in said, [line for line in said.splitlines() if secret in line]
        with pytest.raises(SettingsError) as refused:
            from_environment(os.environ)
        assert secret not in str(refused.value)
    monkeypatch.setenv("ECOTRIPS_ENV", "production")
    monkeypatch.setenv("STORAGE_URL", text)
    command.show(argparse.Namespace(names=[], json=False))
    assert secret not in "".join(capsys.readouterr())


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_rest_says_nothing_of_a_secret_either(option: str) -> None:
    for secret, text in PLANTED:
        for given in (text, f"@{text}"):
            with suppress(SettingsError):
                rest_settings({}, {"db-uri": "postgresql://h/d", option: given})
                continue
            with pytest.raises(SettingsError) as refused:
                rest_settings({}, {"db-uri": "postgresql://h/d", option: given})
            assert secret not in str(refused.value), (option, given)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        (
            "DATABASE_URL",
            "postgresql://admin:pass@db.internal:5432/ecotrips?sslmode=require",
            "admin:***@db.internal:5432",
        ),
        (
            "DATABASE_URL",
            "postgresql://admin:p@mydb.c9akciq32rgi.eu-west-1.rds.amazonaws.com/d",
            "mydb.c9akciq32rgi.eu",
        ),
        ("DATABASE_URL", "postgresql://db.internal/ecotrips", "postgresql://db.internal/ecotrips"),
        ("PUBLIC_URL", "https://ops.ecotrips.africa/ops", "https://ops.ecotrips.africa/ops"),
        ("STRIPE_API_BASE", "https://u:p@stripe.internal/?a#b", "https://***@stripe.internal/?***#***"),
        ("STORAGE_URL", "s3://ecotrips-files/2026", "s3://ecotrips-files/2026"),
        ("DATA_DIR", "/var/lib/ecotrips-2026", "/var/lib/ecotrips-2026"),
        ("STRIPE_PAYOUT_ACCOUNT", "acct_1Nv0FGQ9RKHgCVdK", "acct_1Nv0FGQ9RKHgCVdK"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("PUBLIC_URL", "https://ec2-3-80-1-2.compute.amazonaws.com", "https://ec2-3-80-1-2.compute.amazonaws.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32", "10.0.0.0/8, 2001:db8::/32"),
    ],
)
def test_what_is_no_secret_is_shown(name: str, value: str, shown: str) -> None:
    found, _ = command.in_force({name: value})
    assert shown in next(line.value for line in found if line.row.name == name)


def test_the_tests_environment_has_no_setting_of_whoever_runs_them() -> None:
    assert set(environment()) & {"STRIPE_MOCK_MODE", "DATABASE_URL", "JWT_SECRET"} == set()
