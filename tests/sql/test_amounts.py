"""Amounts as people read them: every list of operators has them beside the minor units."""

from __future__ import annotations

import asyncpg
import pytest

from src.domain.money import EXCEPTIONS, minor_digits, plain
from src.settings import DEFAULT_SCHEMAS

# What ops read and the columns of it: views, and functions that answer with a table.
READ_BY_OPS = """
select c.oid::regclass::text as name, a.attname::text as column_name, a.atttypid::regtype::text as type
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('v', 'm') and c.relnamespace::regnamespace::text = any ($1)
  and has_table_privilege('ops_staff', c.oid, 'select')
union all
select p.oid::regproc::text, name, type::regtype::text
from pg_proc p, unnest(p.proargnames, p.proargmodes, p.proallargtypes) as a (name, mode, type)
where a.mode = 't' and p.pronamespace::regnamespace::text = any ($1)
  and has_function_privilege('ops_staff', p.oid, 'execute')
"""
SCHEMAS = [f'"{name}"' if name == "group" else name for name in DEFAULT_SCHEMAS]


async def unreadable(admin: asyncpg.Connection) -> list[str]:
    """Where minor units stand without the amount as text, or without the currency."""
    lists: dict[str, dict[str, str]] = {}
    for name, column, type_ in await admin.fetch(READ_BY_OPS, SCHEMAS):
        lists.setdefault(name, {})[column] = type_
    assert {"fin.ledger", "group_payouts_counts"} <= lists.keys()
    return [
        f"{name}.{column}"
        for name, types in lists.items()
        for column in types
        if column.endswith("_cents") and (types.get(column.removesuffix("_cents")) != "text" or "currency" not in types)
    ]


async def test_every_list_of_operators_has_its_amounts_as_text(admin: asyncpg.Connection) -> None:
    """A view with `total_cents` has the column `total` too: `fin.amount(total_cents, currency) as total`."""
    assert await unreadable(admin) == []


@pytest.mark.parametrize(
    "made",
    [
        "create view ops.v_new with (security_invoker = true) as select id, total_cents, currency from fin.invoices",
        "create view ops.v_new as select id, total_cents, total_cents as total, currency from fin.invoices",
        "create view ops.v_new as select id, total_cents, fin.amount(total_cents, currency) as total from fin.invoices",
        "create function ops.v_new() returns table (total_cents bigint) language sql as 'select 1'",
    ],
)
async def test_a_new_list_without_them_is_found(admin: asyncpg.Connection, made: str) -> None:
    await admin.execute(made)
    grant = "execute on function ops.v_new()" if "function" in made else "select on ops.v_new"
    await admin.execute(f"grant {grant} to authenticated")
    assert await unreadable(admin) == ["ops.v_new.total_cents"]


async def test_the_text_is_of_its_row(admin: asyncpg.Connection) -> None:
    await admin.execute("select meta.seed_volume(1, 60)")
    await admin.execute("select request_refund(id) from payment.payments where status = 'succeeded'")
    for view, column in (
        ("fin.ledger", "amount"),
        ("fin.clearing", "balance"),
        ("ops.v_bookings", "total"),
        ("ops.v_refunds", "amount"),
    ):
        rows = await admin.fetch(f"select {column}_cents, currency, {column} from {view}")
        assert rows, view
        for cents, currency, text in rows:
            assert text == f"{plain(cents, currency)} {currency}"


@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [
        (350200, "RWF", "350200 RWF"),
        (25000, "USD", "250.00 USD"),
        (5, "EUR", "0.05 EUR"),
        (-5, "USD", "-0.05 USD"),
        (0, "USD", "0.00 USD"),
        (0, "RWF", "0 RWF"),
        (1234567, "KWD", "1234.567 KWD"),
        (1, "BHD", "0.001 BHD"),
        (10005, "CLF", "1.0005 CLF"),
        (9223372036854775807, "USD", "92233720368547758.07 USD"),
        (-9223372036854775808, "TND", "-9223372036854775.808 TND"),
        (None, "USD", None),
        (1, None, None),
    ],
)
async def test_an_amount_has_the_digits_of_its_currency(
    admin: asyncpg.Connection, cents: int | None, currency: str | None, text: str | None
) -> None:
    assert await admin.fetchval("select fin.amount($1, $2)", cents, currency) == text


async def test_the_database_and_python_say_the_same_of_every_currency(admin: asyncpg.Connection) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rows = await admin.fetch(
        "select c, length(split_part(fin.amount(1, c), ' ', 1)) from regexp_split_to_table($1, '') x,"
        " regexp_split_to_table($1, '') y, regexp_split_to_table($1, '') z, concat(x, y, z) c",
        letters,
    )
    assert len(rows) == 26**3
    # 1, 0.01, 0.001
    assert {code: length for code, length in rows if length != 4} == {
        code: digits + 2 if digits else 1 for code, digits in EXCEPTIONS.items()
    }
    assert (minor_digits("RWF"), minor_digits("USD"), minor_digits("KWD")) == (0, 2, 3)
