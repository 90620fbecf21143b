"""Writes access.txt and the list in sql/README.md anew from the catalog. Review the difference like code."""

import asyncio

import asyncpg

from tests.sql.test_access import CALLERS, TABLE, granted, line
from tests.sql.test_function_list import HEADING, README, listed
from tests.support import postgres

HEAD = f"""\
# Who may use what, in every schema. x = execute; r, a, w, d, D = select, insert, update, delete, truncate; of schemas
# and sequences U = usage, C = create; - = nothing. A column has a line where it has rights of its own.
# What only ops may do is granted to authenticated and refused to others by sec.require_ops() or a row policy.
# Written by `python -m tests.support.access`; review the difference like code.
# {"object":<98} {" ".join(f"{caller:<13}" for caller in CALLERS)}
"""


async def write(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    found = await granted(connection)
    before, _, _ = README.read_text().partition(HEADING)
    README.write_text(before + await listed(connection))
    await connection.close()
    TABLE.write_text(HEAD + "".join(f"{line(name, rights)}\n" for name, rights in sorted(found.items())))


if __name__ == "__main__":
    with postgres.disposable("embedded") as server:
        asyncio.run(write(server.url(postgres.make_template(server))))
