"""What an endpoint refuses, its SQL functions refuse in the same words, whoever calls them: /rest/v1 and psql too."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import pytest
from msgspec import inspect

from src.adapters.postgres.errors import meaning_of
from src.domain.context import Role
from src.domain.errors import InputInvalid
from src.http.decode import from_body, from_query
from src.http.endpoint import Endpoint
from src.settings import DEFAULT_SCHEMAS, OFFLINE_SWITCHES
from tests.conftest import OPS_USER, TRAVELLER, Api, as_role, serving
from tests.support.endpoints import declared

UUID = "99999999-9999-4999-8999-999999999999"
# Parameters that have another name than the field which they take on.
RENAMED = {
    ("public.locate_place", "city"): "p_name",
    ("public.send_message", "to"): "p_recipient",
    ("public.apply_payment_event", "id"): "p_event_id",
    ("public.apply_payment_event", "data"): "p_body",
    ("public.apply_payment_event", "created"): "p_occurred_at",
    ("public.group_payouts_counts", "start_from"): "p_from",
    ("public.group_payouts_counts", "start_to"): "p_to",
}
# Fields that no function takes, and why.
NOT_IN_SQL = {
    ("inventory-search", "check_in"): "asked of the supplier, not of the database",
    ("inventory-search", "check_out"): "likewise",
    ("inventory-search", "pax"): "likewise",
    ("wa-webhook", "entry"): "taken apart into p_messages and p_statuses",
    ("wa-webhook", "object"): "not kept",
}
# What the functions take beyond the fields; whatever else they need has a default.
BESIDE: Mapping[str, Mapping[str, str]] = {
    "public.apply_payment_event": {"p_event_id": "evt_1", "p_signed": "false"},
    "public.find_hold": {"p_user_id": TRAVELLER},
    "public.place_hold": {
        "p_user_id": TRAVELLER,
        "p_source": "fixtures",
        "p_total_cents": "100",
        "p_currency": "USD",
        "p_quote": "{}",
    },
    "public.send_message": {"p_type": "text", "p_text": "x"},
    "public.populate_search_index": {"p_places": "[]"},
    "public.read_privacy_export": {"p_schema": "core", "p_table": "profiles", "p_offset": "0", "p_limit": "1"},
    "public.record_privacy_export": {
        "p_path": f"{UUID}/export.zip",
        "p_sha256": "0" * 64,
        "p_expires_at": "2099-01-01T00:00:00Z",
    },
    "public.receive_message_events": {"p_messages": "[]", "p_statuses": "[]"},
    "public.execute_privacy_erasure": {"p_secret": "s" * 32},
}
VALUES = {"to": "+250788123456", "check_out": "2026-12-03", "pax": [1, 0, []], "data": {}, "id": "evt_1"}

LOGINS = {"anon": Role.ANONYMOUS, "authenticated": Role.USER, "service_role": Role.SERVICE}
JsonValue: TypeAlias = Any

CALLABLE = """
select n.nspname || '.' || p.proname as name, p.oid::regproc::text as quoted, p.pronargs - p.pronargdefaults as wanted,
  coalesce(p.proargnames[1:p.pronargs], '{}') as names,
  array(select format_type(t, null) from unnest(p.proargtypes) t) as types,
  array(select r.rolname from pg_roles r where r.rolname = any ('{anon,authenticated,service_role}')
    and has_function_privilege(r.oid, p.oid, 'execute') order by 1) as roles
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prokind = 'f' and p.proowner = 'ecotrips_owner'::regrole and p.prorettype <> 'trigger'::regtype
order by 1
"""


@dataclass(frozen=True)
class Function:
    """A SQL function that somebody may call, with its parameters' types and those without a default."""

    name: str
    quoted: str
    types: Mapping[str, str]
    wanted: frozenset[str]
    roles: tuple[str, ...]

    def statement(self, given: Mapping[str, str | None]) -> str:
        """Its call with these parameters as texts."""
        arguments = (f"{name} => ${place}::text::{self.types[name]}" for place, name in enumerate(given, 1))
        return f"select {self.quoted}({', '.join(arguments)})"


async def callable_functions(admin: asyncpg.Connection) -> dict[str, Function]:
    return {
        row["name"]: Function(
            row["name"],
            row["quoted"],
            dict(zip(row["names"], row["types"], strict=True)),
            frozenset(row["names"][: row["wanted"]]),
            tuple(row["roles"]),
        )
        for row in await admin.fetch(CALLABLE)
        # A parameter of any type takes no text of a type that is named here.
        if row["roles"] and "anyelement" not in row["types"]
    }


@dataclass(frozen=True)
class Case:
    """One field of an endpoint's input with a value that is none of its."""

    endpoint: Endpoint
    function: str
    parameter: str
    field: inspect.Field
    wrong: JsonValue


def fields_of(endpoint: Endpoint) -> Iterator[inspect.Field]:
    assert endpoint.input is not None
    described = inspect.type_info(endpoint.input)
    assert isinstance(described, inspect.StructType)
    yield from described.fields


def inner(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """A field's type without what is around it, and the examples that it has."""
    schema: Mapping[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            schema = {**(kind.extra_json_schema or {}), **schema}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(part for part in kind.types if not isinstance(part, inspect.NoneType))
        else:
            return kind, schema


def right(field: inspect.Field) -> JsonValue:  # noqa: PLR0911 - a table, one line a type
    """A value that the field takes."""
    kind, schema = inner(field.type)
    if field.name in VALUES:
        return VALUES[field.name]
    if examples := schema.get("examples"):
        return examples[0]
    match kind:
        case inspect.UUIDType():
            return UUID
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.IntType(ge=least):
            return least or 0
        case inspect.StrType(min_length=least):
            return "x" * (least or 1)
        case inspect.DateTimeType():
            return "2099-01-01T00:00:00Z"
        case inspect.DateType():
            return "2099-01-01"
        case inspect.DictType() | inspect.StructType():
            return {}
        case _:
            raise NotImplementedError(kind)


def wrong(field: inspect.Field) -> Iterator[JsonValue]:
    """Values that it must not take: one beyond each bound, and what is no such value at all."""
    kind, _ = inner(field.type)
    if field.required:
        yield None
    match kind:
        case inspect.UUIDType():
            yield from ("nosuch", "")
        case inspect.LiteralType():
            yield from ("nosuch", "", "x" * 100_000)
        case inspect.IntType(ge=least, le=most):
            yield from (least - 1, -(2**63)) if least is not None else ()
            yield from (most + 1, 2**63 - 1) if most is not None else ()
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            yield from ("x" * (most + 1), "x" * 1_000_000) if most is not None else ()
            yield from ("", " \t\n\u3000") if least else ()
            yield from ("", "a b", "\n", "!" * 300, "x" * 100_000) if pattern is not None else ()
        case inspect.DateType() | inspect.DateTimeType():
            yield from ("infinity", "-infinity", "10000-01-01", "294276-01-01", "2025-02-30", "0044-03-15 BC", "")
        case inspect.DictType() | inspect.StructType():
            yield from ([], 7, "x", {"x": "y" * 100_000}, nested(200))
        case _:
            raise NotImplementedError(kind)


def nested(levels: int) -> JsonValue:
    value: JsonValue = {}
    for _ in range(levels):
        value = {"x": value}
    return value


def taken(endpoint: Endpoint) -> list[inspect.Field]:
    """The fields that a function takes on."""
    return [field for field in fields_of(endpoint) if (endpoint.name, field.name) not in NOT_IN_SQL]


def parameter_of(function: str, field: inspect.Field) -> str:
    return RENAMED.get((function, field.name), f"p_{field.name}")


def cases() -> Iterator[Case]:
    for endpoint in declared():
        if endpoint.input is None or not endpoint.functions:
            continue
        for function in endpoint.functions:
            for field in taken(endpoint):
                for value in wrong(field):
                    yield Case(endpoint, function, parameter_of(function, field), field, value)


def as_text(value: JsonValue, kind: str) -> str | None:
    return value if value is None or (isinstance(value, str) and kind != "jsonb") else json.dumps(value)


def arguments(case: Case, function: Function) -> dict[str, str | None]:
    """What the function wants, all of it right."""
    given = {parameter_of(case.function, field): field for field in taken(case.endpoint)}
    right_ones = {
        name: as_text(right(field), function.types[name])
        for name, field in given.items()
        if name in function.types and (field.required or name in function.wanted)
    }
    return {**right_ones, **BESIDE.get(case.function, {})}


def http_message(case: Case) -> str | None:
    """What the endpoint says of the wrong value, None when it takes it, says more, or takes it in another shape."""
    assert case.endpoint.input is not None
    if isinstance(inner(case.field.type)[0], inspect.StructType | inspect.DictType):
        return None
    body = {field.encode_name: right(field) for field in taken(case.endpoint) if field.required}
    body[case.field.encode_name] = case.wrong
    try:
        if case.endpoint.method == "GET":
            query = "&".join(f"{name}={value}" for name, value in body.items() if value is not None)
            from_query(case.endpoint.input, query.encode())
        else:
            from_body(case.endpoint.input, json.dumps(body).encode())
    except InputInvalid as refused:
        return refused.errors[0] if len(refused.errors) == 1 else None
    return None


async def call(
    connection: asyncpg.Connection, statement: str, values: list[str | None]
) -> asyncpg.PostgresError | None:
    """What the database says of it; nothing is kept."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.fetch(statement, *values)
    except asyncpg.PostgresError as error:
        return error
    finally:
        await transaction.rollback()
    return None


def is_input(error: asyncpg.PostgresError | None) -> bool:
    """Whether the input rules, or the type itself, refuse it."""
    if error is None or error.sqlstate is None:
        return False
    return error.sqlstate == "PT400" or error.sqlstate[:2] == "22"


async def test_every_field_of_an_endpoint_is_taken_by_one_of_its_functions(admin: asyncpg.Connection) -> None:
    """A new field that no function takes under its name is named here, or its bounds are tested nowhere."""
    functions = await callable_functions(admin)
    lost = [
        f"{endpoint.name}: {field.name}"
        for endpoint in declared()
        if endpoint.input is not None and endpoint.functions
        for field in fields_of(endpoint)
        if (endpoint.name, field.name) not in NOT_IN_SQL
        and not any(parameter_of(name, field) in functions[name].types for name in endpoint.functions)
    ]
    assert not lost


async def test_what_an_endpoint_refuses_its_functions_refuse_in_its_words(
    database: str, admin: asyncpg.Connection
) -> None:
    functions = await callable_functions(admin)
    faults, asked = [], 0
    async with (
        as_role(database, Role.ANONYMOUS) as anonymous,
        as_role(database, Role.USER, OPS_USER) as ops,
        as_role(database, Role.SERVICE) as service,
    ):
        callers = {"anon": anonymous, "authenticated": ops, "service_role": service}
        # Anonymous callers list exceptions offline alone.
        await anonymous.execute("select set_config('request.switches', $1, false)", json.dumps(OFFLINE_SWITCHES))
        for case in cases():
            function = functions[case.function]
            if case.parameter not in function.types:
                continue
            connection = callers[function.roles[0]]
            valid = arguments(case, function)
            if is_input(error := await call(connection, function.statement(valid), list(valid.values()))):
                faults.append(f"{case.function}: {valid} is refused: {error}")
            given = valid | {case.parameter: as_text(case.wrong, function.types[case.parameter])}
            error = await call(connection, function.statement(given), list(given.values()))
            asked += 1
            shown = f"{case.function} {case.parameter}={str(case.wrong)[:40]!r}: {error!r}"
            if not is_input(error):
                faults.append(shown)
            elif error is not None and error.sqlstate == "PT400":
                rule, message = error.constraint_name, http_message(case)
                if not isinstance(meaning_of(error), InputInvalid) or message not in (None, str(error)):
                    faults.append(f"{shown}, but HTTP says {message!r} ({rule})")
    assert not faults, "\n".join(faults)
    assert asked > 300


async def test_rest_answers_400_to_what_an_endpoint_refuses(api: Api, admin: asyncpg.Connection) -> None:
    functions = await callable_functions(admin)
    headers = {"anon": api.anonymous, "authenticated": api.ops, "service_role": api.service}
    faults = []
    for case in cases():
        function = functions[case.function]
        schema, _, bare = case.function.partition(".")
        if case.parameter not in function.types or schema not in DEFAULT_SCHEMAS:
            continue
        texts = arguments(case, function)
        body = {
            name: json.loads(text) if function.types[name] == "jsonb" and text else text for name, text in texts.items()
        }
        answer = await api.http.post(
            f"/rest/v1/rpc/{bare}",
            json=body | {case.parameter: case.wrong},
            headers=headers[function.roles[0]] | {"content-profile": schema},
        )
        if answer.status_code != 400:
            faults.append(f"{case.function} {case.parameter}={str(case.wrong)[:40]!r}: {answer.text[:200]}")
    assert not faults, "\n".join(faults)


# Functions that anonymous callers or users may call and no endpoint fronts, and why.
WITHOUT_ENDPOINT = {
    "fin.amount": "of views, and in psql",
    "fin.seal_ledger": "ops, in psql",
    "fin.set_seller": "ops, in psql",
    "fin.verify_ledger": "ops, in psql",
    "group.my_groups": "of row policies",
    "ops.keep_first_answer": "part of a call under a claim, which nobody can guess",
    "ops.set_flag": "ops, in psql and `ecotrips flags`",
    "public.decide_payout": "ops, in psql",
    "public.ensure_payment_record": "ops, an RPC by itself",
    "public.extend_privacy_request": "ops, in psql",
    "public.find_erased_subject": "ops, `ecotrips privacy verify`",
    "public.find_erased_subject_in_text": "likewise",
    "public.force_circuit": "ops, `ecotrips circuit`",
    "inventory.read_circuit": "ops, `ecotrips circuit`",
    "public.group_contribution_summary": "reads, an RPC by itself",
    "public.privacy_get_datamap": "reads, an RPC by itself",
    "public.privacy_get_request": "reads, an RPC by itself",
    "public.privacy_log_audit": "ops, an RPC by itself",
    "public.seal_ledger": "ops, in psql",
    "public.set_group_status": "owners, an RPC by itself",
    "public.set_permit_quota": "ops, in psql",
    "public.start_privacy_review": "ops, in psql",
}


async def test_a_function_that_callers_reach_is_fronted_by_an_endpoint_or_named_here(
    admin: asyncpg.Connection,
) -> None:
    """Whoever made it: an extension's functions lie in an exposed schema too."""
    fronted = {function for endpoint in declared() for function in endpoint.functions}
    reached = await admin.fetch(
        "select distinct n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = any ($1) and p.prorettype <> 'trigger'::regtype"
        " and exists (select from unnest('{anon,authenticated}'::text[]) as role"
        "   where has_function_privilege(role, p.oid, 'execute'))",
        DEFAULT_SCHEMAS,
    )
    assert {row[0] for row in reached} - fronted == set(WITHOUT_ENDPOINT)


async def test_what_was_taken_once_is_refused(api: Api, admin: asyncpg.Connection) -> None:
    """By the public key, and nothing of it is kept."""
    permit = {"p_park": "Akagera", "p_visit_date": "2099-01-01", "p_pax_count": 1}
    checkout = {"p_itinerary_id": UUID, "p_amount_cents": 1, "p_currency": "USD"}
    before = await admin.fetchval("select count(*) from audit.events")
    for function, arguments, message in (
        ("search_places", {"p_query": "a" * 5000}, "query must be <= 120 characters"),
        ("search_places", {"p_query": "a", "p_limit": 2**31 - 1}, "limit must be an integer from 1 to 12"),
        ("start_checkout", checkout | {"p_itinerary_id": None}, "itinerary_id must be a valid UUID"),
        ("create_permit_request", permit | {"p_visit_date": "infinity"}, "visit_date must be YYYY-MM-DD"),
        ("create_permit_request", permit | {"p_pax_count": 2**31 - 1}, "pax_count must be a positive integer"),
        ("create_permit_request", permit | {"p_note": "x" * 501}, "note must be <= 500 characters"),
        ("create_permit_request", permit | {"p_park": None}, "park must be Volcanoes|Nyungwe|Akagera"),
    ):
        answer = await api.http.post(f"/rest/v1/rpc/{function}", json=arguments, headers=api.anonymous)
        assert (answer.status_code, answer.json()["message"]) == (400, message)
    for table in ("payment.payments", "permits.requests"):
        assert await admin.fetchval(f"select count(*) from {table}") == 0
    assert await admin.fetchval("select count(*) from audit.events") == before


async def test_text_is_kept_without_the_blanks_that_http_takes_away(admin: asyncpg.Connection) -> None:
    blanks = "".join(letter for letter in map(chr, range(1, 0x10FFFF)) if letter.isspace())
    assert sorted(await admin.fetchval("select sec.blanks()")) == sorted(blanks)
    kept = await admin.fetchval("select sec.valid_text('name', $1, 1, 3)", f"{blanks}a b{blanks}")
    assert kept == "a b"


BOUNDED = """
insert into permits.requests (park, visit_date, pax_count) values ('Akagera', 'infinity', 1);
insert into permits.requests (park, visit_date, pax_count) values ('Akagera', '2099-01-01', 10001);
insert into booking.itineraries (currency, total_cents, start_date) values ('USD', 1, '-infinity');
insert into booking.items (itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency)
  values ('11111111-1111-4111-8111-111111111111', 'fee', 'X', 'infinity', 'infinity', 1, 1, 'USD');
insert into privacy.requests (kind, subject_user_id, reason) values ('export', gen_random_uuid(), repeat('x', 501));
insert into payment.webhook_events (id, type, signed, occurred_at, body) values ('e', 't', false, 'infinity', '{}');
insert into "group".escrows (group_id, currency, target_cents, min_members, deadline)
  select id, 'USD', 1, 1, 'infinity' from "group".groups;
insert into inventory.holds (user_id, idempotency_key, hold_ref, source, supplier_hotel_id, plan_id, check_in,
    check_out, pax, total_cents, currency, quote, expires_at)
  values (gen_random_uuid(), 'k', 'r', 'HBX', 'h', 'p', '2026-01-01', 'infinity', '[]', 1, 'USD', '{}', now())
"""


async def test_what_no_function_lets_in_no_table_keeps(admin: asyncpg.Connection) -> None:
    await admin.execute("insert into \"group\".groups (name) values ('trek')")
    for statement in BOUNDED.split(";"):
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.execute(statement)


async def test_every_limit_of_rows_is_a_number_within_bounds(database: str, admin: asyncpg.Connection) -> None:
    """Of every function, the worker's too: null and -1 would be all rows, or an error of the statement itself."""
    faults = []
    async with as_role(database, Role.SERVICE) as service:
        for name, function in (await callable_functions(admin)).items():
            if "p_limit" not in function.types or "service_role" not in function.roles:
                continue
            usual = {parameter: USUAL_TEXT[function.types[parameter]] for parameter in function.wanted}
            for limit in (None, "0", "-1", "10001"):
                given = usual | {"p_limit": limit}
                error = await call(service, function.statement(given), list(given.values()))
                if "limit must be an integer from 1 to " not in str(error):
                    faults.append(f"{name}({limit}): {error}")
    assert not faults, "\n".join(faults)


USUAL_TEXT: Mapping[str, str | None] = {"integer": "1", "bigint": "1", "text": "x", "uuid": UUID}
HOSTILE: Mapping[str, list[JsonValue]] = {
    "uuid": [None, UUID, TRAVELLER],
    "text": [None, "", "x" * 100_000, "\u202e%s' or 1=1; --", "[" * 5000],
    "text[]": [None, [], ["x" * 100_000], [None] * 1000],
    "boolean": [None],
    "date": [None, "infinity", "-infinity", "5874897-12-31", "4713-01-01 BC"],
    "timestamp with time zone": [None, "infinity", "-infinity", "294276-12-31", "4713-01-01 BC"],
    "integer": [None, 0, -1, 2**31 - 1, -(2**31)],
    "bigint": [None, 0, -1, 2**63 - 1, -(2**63)],
    "double precision": [None, "NaN", "Infinity", "-Infinity", -1, 1e308],
    "json": [None, [], {}, nested(60), "x"],
    "jsonb": [None, [], {}, nested(60), "x", {"x": "y" * 100_000}, [None], [7], [{}], [{"occurred_at": "infinity"}]],
    "bytea": [None, "", "x" * 1000],
}
USUAL: Mapping[str, JsonValue] = {
    "uuid": UUID,
    "text": "x",
    "text[]": [],
    "boolean": True,
    "date": "2099-01-01",
    "timestamp with time zone": "2099-01-01T00:00:00Z",
    "integer": 1,
    "bigint": 1,
    "double precision": 1,
    "json": {},
    "jsonb": {},
    "bytea": "x",
}


async def test_no_argument_of_any_function_is_an_internal_error_or_takes_long(
    database: str, admin: asyncpg.Connection
) -> None:
    """Every function, by every role that may call it: also those of the worker, and those that no endpoint fronts."""
    faults = []
    async with serving(database) as api:
        headers = {"anon": api.anonymous, "authenticated": api.ops, "service_role": api.service}
        for name, function in (await callable_functions(admin)).items():
            schema, _, bare = name.partition(".")
            if schema not in DEFAULT_SCHEMAS:
                continue
            usual = {parameter: USUAL[kind] for parameter, kind in function.types.items()}
            for role in function.roles:
                for parameter, kind in function.types.items():
                    for value in HOSTILE[kind]:
                        answer = await api.http.post(
                            f"/rest/v1/rpc/{bare}",
                            json=usual | {parameter: value},
                            headers=headers[role] | {"content-profile": schema},
                        )
                        if answer.status_code >= 500 or answer.elapsed.total_seconds() > 1:
                            faults.append(f"{role} {name} {parameter}={str(value)[:40]!r}: {answer.text[:200]}")
    assert not faults, "\n".join(faults)
    assert not await infinite(admin)


# No page of an index holds it, however it is compressed.
LONG_KEY = random.Random(1).randbytes(15_000).hex()
# Right ones, so that one wrong argument is looked at.
CACHED = {"p_key": "x", "p_origin": "HBX", "p_kind": "search", "p_payload": "{}"}
IN_THE_WORKER: Mapping[str, Mapping[str, str]] = {
    "inventory.claim_flight": {"p_origin": "HBX"},
    "inventory.write_cache": CACHED,
    "inventory.judge_circuit": {"p_name": "hbx", "p_state": "open", "p_version": "0"},
    "ops.claim_sweep": {"p_name": "payouts"},
    "ops.finish_sweep": {"p_name": "payouts"},
}
KNOWN_ONES = [
    ("ops.finish_sweep('payouts', 9223372036854775807)", "handled must be an integer from 0 to 1000000000"),
    ("ops.take_token('x', 'y', 0)", "per_minute must be an integer from 1 to 1000000"),
    ("ops.claim_sweep('payouts', 'NaN')", "seconds must be a number from 0.001 to 1000000000"),
    ("ops.claim_sweep('payouts', 'Infinity')", "seconds must be a number from 0.001 to 1000000000"),
    ("inventory.claim_flight('x', 'HBX', null, 1)", "holder must be a valid UUID"),
    ("inventory.write_cache('x', 'HBX', 'search', 'USD', 1)", "payload must be JSON"),
    ("public.receive_message_events('[1, \"x\", null]', '[]')", "each event must be an object"),
    ("inventory.judge_circuit('hbx', 0, 'closed', -1, 0)", "failures must be an integer from 0 to 1000000"),
    (f"public.find_erased_subject_in_text('{UUID}', 'x', null)", "The privacy secret must have 32 characters or more"),
    (
        f"public.record_privacy_export('{UUID}', '../../../etc/passwd', repeat('0', 64), now() + '1d')",
        "path must be <request_id>/export.zip",
    ),
    (
        f"public.record_privacy_export('{UUID}', '{UUID}/export.zip', repeat('0', 64), now() - interval '1s')",
        "expires_at must lie ahead",
    ),
    (
        f"public.record_privacy_export('{UUID}', '{UUID}/export.zip', 'x', now() + '1d')",
        "sha256 must be 64 hex digits",
    ),
]


@pytest.mark.parametrize(("call_of", "message"), KNOWN_ONES, ids=[name.partition("(")[0] for name, _ in KNOWN_ONES])
async def test_what_the_service_gave_once_is_refused(admin: asyncpg.Connection, call_of: str, message: str) -> None:
    error = await call(admin, f"select {call_of}", [])
    assert error is not None
    assert (error.sqlstate, str(error)) == ("PT400", message)


# What a function says by itself, and what a type says of a text that is none of its values.
WORDED = re.compile(r"PT4\d\d|42501|55P03|22P02|22007|22008")


async def test_every_argument_of_every_function_is_refused_in_words(database: str, admin: asyncpg.Connection) -> None:
    """By the service, which may call the worker's own functions too: what one session keeps must not fail the next."""
    faults = []
    async with as_role(database, Role.SERVICE) as service:
        await service.execute("set statement_timeout = '5s'")
        for name, function in (await callable_functions(admin)).items():
            if "service_role" not in function.roles or name == "sec.refuse":  # which raises what it is given
                continue
            usual = {parameter: as_text(USUAL[kind], kind) for parameter, kind in function.types.items()}
            usual.update({**BESIDE.get(name, {}), **IN_THE_WORKER.get(name, {})})
            for parameter, kind in function.types.items():
                for value in (*HOSTILE[kind], *([LONG_KEY] if kind == "text" else ())):
                    given = usual | {parameter: as_text(value, kind)}
                    error = await call(service, function.statement(given), list(given.values()))
                    if error and meaning_of(error) is None and not WORDED.fullmatch(error.sqlstate or ""):
                        faults.append(f"{name} {parameter}={str(value)[:40]!r}: {error.sqlstate} {str(error)[:100]}")
    assert not faults, "\n".join(faults)


async def infinite(admin: asyncpg.Connection) -> list[str]:
    """Columns that hold a day or time without end, but for those that we begin at -infinity ourselves."""
    columns = await admin.fetch(
        "select c.oid::regclass::text as relation, quote_ident(a.attname) as name from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where c.relowner = 'ecotrips_owner'::regrole and c.relkind = 'r' and a.attname <> 'status_at'"
        " and c.oid <> 'ops.sweeps'::regclass"
        " and a.atttypid in ('date'::regtype, 'timestamptz'::regtype)"
    )
    return [
        f"{row['relation']}.{row['name']}"
        for row in columns
        if await admin.fetchval(f"select exists (select from {row['relation']} where not isfinite({row['name']}))")
    ]
