"""PostgREST's options: where they are given, what wins, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from src.edge.errors import SettingsError
from src.rest.catalog.model import Name
from src.rest.server.settings import command_line, rest_settings


def test_settings_come_from_the_environment_and_flags_win() -> None:
    given = {
        "PGRST_DB_URI": "postgresql://gate@h/zoo",
        "PGRST_DB_SCHEMA": "zoo, hidden",
        "PGRST_DB_MAX_ROWS": "5",
        "PGRST_APP_SETTINGS_MOTTO": "x",
        "PGRST_DB_TX_END": "rollback-allow-override",
    }
    found = rest_settings(given, {"db-max-rows": "7"})
    assert found.configuration.schemas == ("zoo", "hidden")
    assert found.configuration.max_rows == 7
    assert found.configuration.app_settings == (("app.settings.MOTTO", "x"),)
    assert (found.configuration.transaction_end, found.configuration.may_end_transaction) == ("rollback", True)
    assert "postgresql://" not in repr(found)


@pytest.mark.parametrize(
    ("text", "schemas"),
    [
        ("zoo, hidden", ("zoo", "hidden")),
        (" Odd one , \u0637\u0627 ,", ("Odd one", "\u0637\u0627")),
        ('"a,b", c"d, "say ""hi"""', ("a,b", 'c"d', 'say "hi"')),
        ('"open, b', ('"open', "b")),
        ('" blanks "', (" blanks ",)),
        ("\u00e9" * 40, ("\u00e9" * 31,)),
    ],
)
def test_schemas_are_named_as_they_are_or_as_in_sql(text: str, schemas: tuple[str, ...]) -> None:
    found = rest_settings({"PGRST_DB_SCHEMAS": text, "PGRST_DB_EXTRA_SEARCH_PATH": text}).configuration
    assert (found.schemas, found.extra_search_path) == (schemas, schemas)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("check", Name("", "check")),
        ("Odd one.Check it", Name("Odd one", "Check it")),
        ("a.b.c", Name("a", "b.c")),
        ('"a.b"."c.d"', Name("a.b", "c.d")),
        ('"a""b".c', Name('a"b', "c")),
        ('"a.b"', Name("", "a.b")),
    ],
)
def test_a_function_is_named_as_it_is_or_as_in_sql(text: str, name: Name) -> None:
    given = {f"PGRST_DB_{what}": text for what in ("PRE_REQUEST", "ROOT_SPEC", "PRE_CONFIG")}
    found = rest_settings(given)
    assert [found.configuration.pre_request, found.configuration.root_spec, found.db_pre_config] == [name] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"PGRST_DB_POOL": "many"},
        {"PGRST_DB_TX_END": "maybe"},
        {"PGRST_DB_AGGREGATES_ENABLED": "perhaps"},
        {"PGRST_DB_SCHEMAS": "pg_catalog"},
        {"PGRST_JWT_SECRET": "@/no/such/file"},
        {"PGRST_LOG_LEVEL": "loud"},
        {"PGRST_ADMIN_SERVER_PORT": "3000"},
        {"PGRST_SERVER_UNIX_SOCKET_MODE": "1777"},
        {"PGRST_SERVER_UNIX_SOCKET_MODE": "rw"},
    ],
)
def test_a_setting_that_is_wrong_is_named(wrong: dict[str, str]) -> None:
    name = next(iter(wrong)).removeprefix("PGRST_").lower().replace("_", "-")
    with pytest.raises(SettingsError, match=name):
        rest_settings(wrong)


def test_the_database_wins_over_flags_environment_and_file(tmp_path: Path) -> None:
    file = tmp_path / "rest.conf"
    file.write_text(
        '# comment\n\ndb-uri = "postgresql://$(WHO)@h/a$$b" # more\ndb-max-rows=1\ndb-pool = 1\n'
        'db-pool-timeout = 1\nlog-query = on\ndb-anon-role = "say \\"hi\\" # twice"\n'
        'app.settings.motto = "x"\nno-such = 1\n'
    )
    environ = {"WHO": "gate", "PGRST_DB_MAX_ROWS": "2", "PGRST_DB_POOL": "2", "PGRST_DB_SCHEMAS": "a"}
    found = rest_settings(environ, {"db-max-rows": "3", "db-schemas": "b"}, file, {"db-max-rows": "4"})
    assert found.db_uri == "postgresql://gate@h/a$b"
    assert (found.db_pool_max_idletime, found.db_pool, found.configuration.schemas) == (1, 2, ("b",))
    assert (found.configuration.max_rows, found.log_query) == (4, True)
    assert found.configuration.anonymous_role == 'say "hi" # twice'
    assert found.configuration.app_settings == (("app.settings.motto", "x"),)


@pytest.mark.parametrize(
    "line", ["db-pool", "db-pool = 1 2", 'db-uri = "open', 'db-uri = "$(NO_SUCH)"', "app { x = 1 }"]
)
def test_a_line_of_the_file_that_is_wrong_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "rest.conf"
    file.write_text(f"db-pool = 1\n{line}\n")
    with pytest.raises(SettingsError, match=r"rest\.conf:2"):
        rest_settings({}, file=file)


def test_the_command_line_is_a_file_and_flags() -> None:
    assert command_line(["a.conf", "--db-pool", "3", "--db-uri=x=y"]) == (
        {"db-pool": "3", "db-uri": "x=y"},
        Path("a.conf"),
    )
    for wrong in (["--no-such", "1"], ["-x"], ["a", "b"]):
        with pytest.raises(SettingsError, match="is not an option of rest"):
            command_line(wrong)


def test_a_connection_may_be_given_as_words() -> None:
    found = rest_settings({"PGRST_DB_URI": r"host=/run/pg user=gate password='a b\'c' dbname=zoo"})
    assert found.db_uri == "postgresql://?host=%2Frun%2Fpg&user=gate&password=a%20b%27c&dbname=zoo"


def test_a_pipe_is_read_once_and_a_file_each_time(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"postgresql://gate@h/zoo\n")
    os.close(writing)
    file = tmp_path / "secret"
    given = {"PGRST_DB_URI": f"@/dev/fd/{reading}", "PGRST_JWT_SECRET": f"@{file}"}
    for secret in ("one", "two"):
        file.write_text(f"{secret}\n")
        found = rest_settings(given)
        assert (found.db_uri, found.jwt_secret) == ("postgresql://gate@h/zoo", secret)
    os.close(reading)
