"""One table of settings: code, documents and containers name what it has, and every wrong value is one line."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import sampling

from src.app import authenticator_of
from src.commands import settings as command
from src.composition import compose
from src.environment import SECRET_NAME
from src.settings import SettingsError, declared, from_environment
from src.settings_table import ELSEWHERE, FAMILIES, TABLE, rows
from tests.postgres import JWT_SECRET
from tests.processes import ROOT, ecotrips, environment
from tests.settings_page import PAGE, page

BASE = {"JWT_SECRET": JWT_SECRET, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
ROWS = {row.name: row for row in rows()}
OTHERS = {name for group in ELSEWHERE.values() for name in group}
NAME = re.compile(r"(?<![\w%])(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|PG[A-Z]{3,}|PORT)(?![\w…])")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "compose.yaml", "Dockerfile")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
]
HIDDEN = {"DATABASE_URL", "DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL", "OTEL_EXPORTER_OTLP_HEADERS", "PGPASSWORD"}
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
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tests.settings_page"


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
    assert {"JWT_JWKS", "PGHOST", "OTEL_TRACES_SAMPLER"} <= set(found), "nothing was looked at"
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
    known = {*ROWS, *OTHERS, *OF_SHELLS, *codes, "DEFAULT_SCHEMAS"}
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
            if SECRET_NAME.search(name) or name in HIDDEN:
                assert len(value.strip()) < 10 or value not in line, (value, line)
            elif value.isprintable() and len(value) < 80 and value == value.strip() and "together with" not in line:
                assert value.partition("?")[0].lower() in line.lower(), (value, line)
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
    assert re.match(rf"(ecotrips: |BAD  settings       ){name} must be .*, not {value!r}(;.*)?\n", said), said
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
    for name, value in (
        ("PORT", "abc"),
        ("ECOTRIPS_ENV", "live"),
        ("DATA_DIR", "/etc/passwd"),
        ("LOG_LEVEL", "\x1b[1m"),
    ):
        assert re.search(rf"^ecotrips: {name} must be .* not {re.escape(repr(value))}$", ran.stderr, re.MULTILINE)
        assert f"      BAD: {name} must be" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


SECRET = "geheim7Kq"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:{}@h/d",
        "postgresql://u:{}@h,i:5432/d?sslmode=require",
        "postgresql://h/d?password={}",
        "postgresql://h/d?%70assword={}",
        "postgresql://h/d?user=u&sslpassword={}",
        "postgresql://h/d?options=-c%20x={}",
        "postgresql://u:a@b:{}@h/d",
        "postgresql://u:{}?x@h/d",
        "postgresql://u:{}/x@h/d",
        "postgresql://u:{}#@h/d",
        "postgresql://u:{}",
        "postgresql:/u:{}@h/d",
        "host=h password={}",
        "u:{}@h",
        "{}",
        "mysql://u:{}@h",
    ],
)
def test_nothing_of_a_secret_is_shown(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    databases = {name: address.format(SECRET) for name in ROWS if name.startswith("DATABASE_") and "URL" in name}
    hidden = {name: f"{SECRET}-{'k' * 30}" for name in ROWS if SECRET_NAME.search(name) or name == "PGPASSWORD"}
    del hidden["AWS_ACCESS_KEY_ID"]  # whose secret it is, and none itself
    others = {
        "HBX_BASE_URL": f"https://{SECRET}@hotels",
        "STRIPE_API_BASE": f"https://u:{SECRET}@h",
        "STORAGE_URL": f"s3://key:{SECRET}@bucket",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://collector/?token={SECRET}",
        "JWT_JWKS": f'{{"keys": ["{SECRET}"]}}',
    }
    monkeypatch.chdir(tmp_path)
    for name, value in {**databases, **hidden, **others}.items():
        monkeypatch.setenv(name, value)
    for word in ("development", "production", "neither"):
        monkeypatch.setenv("ECOTRIPS_ENV", word)
        for as_json in (False, True):
            command.show(argparse.Namespace(names=[], json=as_json))
            said = "".join(capsys.readouterr())
            assert said.count("STRIPE_SECRET_KEY"), said
            assert SECRET not in said
        with pytest.raises(SettingsError) as refused:
            from_environment(os.environ)
        assert SECRET not in str(refused.value)


def test_the_tests_environment_has_no_setting_of_whoever_runs_them() -> None:
    assert set(environment()) & {"STRIPE_MOCK_MODE", "DATABASE_URL", "JWT_SECRET"} == set()
