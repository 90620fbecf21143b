"""Writes docs/settings.md anew from the table of settings. Review the difference like code."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from src.commands.settings import rows
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

Made from the code by `.venv/bin/python -m tests.support.settings_page`: change src/settings/table.py, not this page.

Settings are read from the environment, once, when a process starts; an empty one is not set. `ecotrips settings`
shows each with its value in force and where that comes from, `ecotrips settings STRIPE` those whose names begin so,
`--json` the same for programs. It starts nothing and names every fault. A value is shown when it is of its setting's
kind and looks like no secret, of an address neither login nor what follows ? or #; of anything else its length, because
secrets get into wrong places. Every other command refuses a wrong setting in one line: its name, and what it must be.

- **The environment goes first.** Below it an installation whose PostgreSQL is embedded (no `DATABASE_URL`) has what
  its `DATA_DIR` keeps: the secret of `jwt_secret`, and in `switches.env` the switches with which its SQL was last
  applied, by `make run`, `ecotrips serve` or `ecotrips db apply`. So every command of that folder mocks what its
  server mocks, in any shell, and so does psql. A command whose environment says something else says so, and one that
  finds a switch said by neither refuses ([upgrade.md](upgrade.md)): it would be live. What runs
  already keeps the switches that it began with; the newest start decides for what comes after it. With a
  `DATABASE_URL` there is the environment alone.
- **Switches** are mocks but for the pauses; `make run` begins with every mock on. They can be overridden while all
  runs: `ecotrips flags set USE_FIXTURES=0` holds for every process at its next request, `ecotrips flags list` shows
  what is overridden.
- **Two hosts or more** need one `STORAGE_URL` that all of them reach (`s3://…`, or `file:///…` of a folder that they
  share): without it each keeps documents, archives and files below its own `DATA_DIR`, and the others answer 404 for
  them.
- **Needed** is what production does not start without ([security.md](security.md), Production); what of it is missing
  here `ecotrips check` lists under `keys`.
"""


# Read by other programs than the service, which therefore cannot show them: the meaning, and the default.
ELSEWHERE: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Containers (compose.yaml and Dockerfile)": {
        "ECOTRIPS_MODE": ("offline or production: which of deploy/*.env compose.yaml adds.", ""),
        "POSTGRES_PASSWORD": ("The administrator's password in compose.yaml's PostgreSQL: letters and digits.", ""),
        "POSTGRES_DB": ("The database that its image makes.", "ecotrips"),
        "POSTGRES_IMAGE": ("The image of PostgreSQL, by tag or digest.", "postgres:18.6"),
        "COLLECTOR_IMAGE": ("The image of the collector.", "otel/opentelemetry-collector:0.140.0"),
        "PYTHON_IMAGE": ("A build argument: the image that ours is built on.", "python:3.13-slim-bookworm"),
    },
    "The system": {
        "PATH": ("Where psql, pg_dump and pg_restore are looked for, too.", ""),
        "HTTPS_PROXY": (
            "The proxy by which providers, S3 and a collector elsewhere are called; what is near never is.",
            "",
        ),
        "HTTP_PROXY": ("Likewise for addresses without TLS.", ""),
        "NO_PROXY": ("Hosts that are called without it.", ""),
        "PSQL_PAGER": ("The pager of psql, before PAGER; without both one that fits is chosen.", ""),
        "PAGER": ("The pager of all programs.", ""),
        "TMPDIR": ("Temporary files, and the embedded server's socket where the path of DATA_DIR is long.", ""),
    },
    "Development": {
        "PYTHON": ("The Python that make builds the environment with.", "python3"),
        "BENCH": ("Arguments of make bench.", ""),
        "PGBOUNCER": ("The PgBouncer that tests start.", "the one on the PATH"),
        "ECOTRIPS_TEST_POSTGRES": ("Where tests have their PostgreSQL (docs/develop.md).", "auto"),
        "ECOTRIPS_TEST_POSTGRES_IMAGE": ("Its image, where that is a container.", "postgres:18"),
        "FUZZ_REQUESTS": ("How many requests are made up for each operation and caller.", "6"),
        "SOAK_MINUTES": ("How long make soak runs.", "30"),
        "BENCH_DATA": ("Where benches keep their database (bench/README.md).", ".data/bench"),
    },
}

# Families whose single names are in another place.
FAMILIES: Mapping[str, str] = {
    "PGRST_": "options of `ecotrips rest` alone ([rest.md](rest.md))",
    "AWS_": "what else the S3 library knows (object_store's `AmazonS3ConfigKey`)",
    "OTEL_": "what else OpenTelemetry's Python SDK knows",
    "PG": "what else libpq knows, for psql and dumps",
}


def page() -> str:
    return "\n".join([HEAD, *map("\n".join, _tables()), _families()])


def _tables() -> list[list[str]]:
    tables = []
    for group, members in groupby(rows(), lambda row: row.group):
        lines = [f"## {group}", "", "| name | meaning | must be | default | needed | example |", "| --- " * 6 + "|"]
        for row in members:
            needed = "yes" if row.needed else ""
            cells = (f"`{row.name}`", row.meaning, row.kind, row.default, needed, f"`{row.example}`")
            lines.append(_row(*cells))
        tables.append([*lines, ""])
    for group, others in ELSEWHERE.items():
        lines = [f"## {group}", "", "| name | meaning | default |", "| --- " * 3 + "|"]
        lines += [_row(f"`{name}`", meaning, default) for name, (meaning, default) in others.items()]
        tables.append([*lines, ""])
    return tables


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _families() -> str:
    lines = (f"- `{beginning}…`: {what}.\n" for beginning, what in FAMILIES.items())
    return (
        "## Families\n\nWhat begins so and stands above in no table is read by a library or another program:\n\n"
        + "".join(lines)
    )


if __name__ == "__main__":
    PAGE.write_text(page())
