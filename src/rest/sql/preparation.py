"""Makes the statement of a request with planner, writers and media negotiation."""

from __future__ import annotations

from dataclasses import replace

from src.rest.catalog.lookups import find_table
from src.rest.catalog.model import JSON, Catalog, Name, Returns, Table
from src.rest.errors import RestError, max_affected_of_single, put_without_key
from src.rest.protocol.media import Media, MediaType
from src.rest.protocol.prepared import Prepared
from src.rest.protocol.request import ActionKind, Configuration, Job
from src.rest.query.plan import Filter, Operator
from src.rest.query.query_string import ALL_COLUMNS
from src.rest.sql import nodes, selects
from src.rest.sql.calling import call, find_routine
from src.rest.sql.negotiation import negotiate
from src.rest.sql.nodes import Node, Parameters, Query
from src.rest.sql.planner import SOURCE, ReadPlanner
from src.rest.sql.reading import ReadWriter
from src.rest.sql.resolved import Condition, Level
from src.rest.sql.row_security import is_guarded, seers_of_all
from src.rest.sql.statements import (
    Handler,
    answer,
    page_total,
    read_statement,
    rows_as_json,
    with_settings,
)
from src.rest.sql.writing import (
    BODY,
    Write,
    delete,
    find_columns,
    insert,
    location,
    returned,
    update,
)


class Preparation:
    """Prepares requests with one catalog."""

    def __init__(self, catalog: Catalog, configuration: Configuration) -> None:
        self.catalog = catalog
        self._configuration = configuration

    def prepare(self, job: Job) -> Prepared:
        """Raises RestError for whatever the catalog lacks."""
        if job.action.kind is ActionKind.READ:
            return self._read(job)
        if job.action.kind is ActionKind.CALL:
            return self._call(job)
        return self._write(job)

    def _planner(self) -> ReadPlanner:
        return ReadPlanner(
            self.catalog,
            aggregates=self._configuration.aggregates,
            legacy_names=self._configuration.legacy_names,
            bound=self._configuration.bound,
            cast_bound=self._configuration.cast_bound,
        )

    def _guard(self, root: Level) -> Name | None:
        return self._configuration.guard if is_guarded(self.catalog, root) else None

    def _read(self, job: Job) -> Prepared:
        table = find_table(self.catalog, job.action.name)
        planner = self._planner()
        level = Level(table.name, table.name.name, table.columns)
        root = planner.resolve(level, job.query.plan)
        guard = self._guard(root)
        handler, media = negotiate(
            self.catalog,
            table.name,
            job.accept,
            all_columns=_whole_rows(job),
            plans=self._configuration.plans,
            streams=not job.action.head,
        )
        job.preferences.refuse_unknown()
        parameters = Parameters()
        max_rows = self._configuration.max_rows
        if handler.kind is Media.NDJSON:
            query = rows_as_json(ReadWriter(parameters, max_rows).query(root))
            return Prepared(
                nodes.text_of(query),
                parameters.slots,
                media,
                table,
                warnings=tuple(planner.warnings),
                guard=_called(guard),
            )
        count = job.preferences.count
        statement = read_statement(
            root,
            Handler(None) if job.action.head else handler,
            parameters,
            counts=job.preferences.counts,
            max_rows=max_rows,
            estimated=count == "estimated",
        )
        explain_parameters = Parameters()
        explain = ReadWriter(explain_parameters).count(root) if count in ("planned", "estimated") else None
        seers = seers_of_all(self.catalog, root) if explain is not None else None
        text, slots = _text(statement, media), parameters.slots
        return Prepared(
            text,
            slots,
            media,
            table,
            single=_single(statement, parameters, guard) if media.kind is not Media.PLAN and explain is None else "",
            single_slots=parameters.slots,
            explain=f"EXPLAIN (FORMAT JSON) {nodes.text_of(explain)}" if explain is not None else "",
            explain_slots=explain_parameters.slots,
            exact=self._read(_counting_exactly(job)) if seers is not None else None,
            seers=seers or frozenset(),
            warnings=tuple(planner.warnings),
            guard=_called(guard),
        )

    def _write(self, job: Job) -> Prepared:
        table = find_table(self.catalog, job.action.name)
        planner = self._planner()
        written = Level(table.name, table.name.name, table.columns, source=SOURCE)
        root = planner.resolve(written, job.query.plan, only_embeds=True)
        target = Level(table.name, table.name.name, table.columns)
        parameters = Parameters()
        conditions = planner.conditions(target, job.query.plan.conditions)
        source = self._source(job, table, root, target, conditions, parameters)
        job.preferences.refuse_unknown()
        handler, media = negotiate(
            self.catalog, table.name, job.accept, all_columns=_whole_rows(job), plans=self._configuration.plans
        )
        represented = job.preferences.representation == "representation"
        rows = (
            ReadWriter(parameters).query(root) if represented else selects.select([nodes.star()], selects.table(SOURCE))
        )
        located = job.action.kind is ActionKind.CREATE and job.preferences.representation == "headers-only"
        statement = answer(
            source,
            rows,
            handler if represented else Handler(None),
            location=location(table.primary_key) if located and table.primary_key else None,
            inserted=_merges(job),
        )
        return Prepared(
            _text(statement, media),
            parameters.slots,
            media,
            table,
            warnings=tuple(planner.warnings),
            read_only=False,
            guard=_called(self._guard(root) or self._guard(replace(target, conditions=conditions))),
        )

    def _source(
        self,
        job: Job,
        table: Table,
        root: Level,
        target: Level,
        conditions: list[Condition],
        parameters: Parameters,
    ) -> Node:
        kind, plan = job.action.kind, job.query.plan
        if kind is ActionKind.UPSERT and not _names_the_key(job, table):
            raise put_without_key()
        payload = job.payload
        write = Write(
            table,
            find_columns(table, payload.keys) if payload else (),
            {
                name: self.catalog.representations[JSON, column.type]
                for name, column in table.columns.items()
                if (JSON, column.type) in self.catalog.representations
            },
            _returning(job, table, root, target),
            payload.is_object if payload else True,
            job.preferences.missing == "default" and kind is not ActionKind.UPSERT,
        )
        if kind is ActionKind.DELETE:
            return delete(write, parameters, target, conditions)
        if kind is ActionKind.UPDATE:
            return update(write, parameters, target, conditions)
        if kind is ActionKind.UPSERT:
            of_body = Level(table.name, BODY, table.columns)
            conditions = self._planner().conditions(of_body, plan.conditions)
            return insert(write, parameters, conflict_keys=table.primary_key, merges=True, conditions=conditions)
        keys: tuple[str, ...] = ()
        if job.preferences.resolution is not None:
            keys = table.primary_key if plan.on_conflict is None else plan.on_conflict
            _known(table, keys)
        return insert(write, parameters, conflict_keys=keys, merges=_merges(job))

    def _call(self, job: Job) -> Prepared:
        routine = find_routine(self.catalog, job)
        if job.preferences.strict and job.preferences.max_affected is not None and routine.returns.single:
            raise max_affected_of_single()
        composite = not routine.returns.scalar
        relation = Name(routine.name.schema, routine.table.name if composite else routine.name.name)
        columns = routine.columns if composite else None
        planner = self._planner()
        root = planner.resolve(Level(relation, relation.name, columns, source=SOURCE), job.query.plan)
        silent = job.action.head or routine.returns is Returns.VOID
        handler, media = negotiate(
            self.catalog,
            relation,
            job.accept,
            all_columns=_whole_rows(job),
            plans=self._configuration.plans,
            streams=not silent,
        )
        job.preferences.refuse_unknown()
        parameters = Parameters()
        source = call(routine, job, parameters, root)
        guard = self._guard(root)
        max_rows = self._configuration.max_rows
        writer = ReadWriter(parameters, max_rows)
        windowed = max_rows is not None or root.window is not None
        read_only = job.action.by_get or routine.volatility != "v"
        if handler.kind is Media.NDJSON:
            query = rows_as_json(writer.query(root), source, routine.returns)
            return Prepared(
                nodes.text_of(query),
                parameters.slots,
                media,
                routine=routine,
                read_only=read_only,
                guard=_called(guard),
            )
        counts = job.preferences.counts
        statement = answer(
            source,
            writer.query(root),
            Handler(None) if silent else handler,
            counted=writer.count(root) if counts and windowed else None,
            total=page_total(routine.returns) if counts else None,
            returns=routine.returns,
        )
        simple = media.kind is not Media.PLAN and not routine.settings and routine.isolation is None
        text = _text(statement, media)
        slots = parameters.slots
        return Prepared(
            text,
            slots,
            media,
            routine=routine,
            single=_single(statement, parameters, guard, read_only=read_only, of_request=True) if simple else "",
            single_slots=parameters.slots,
            warnings=tuple(planner.warnings),
            read_only=read_only,
            guard=_called(guard),
        )


def _called(guard: Name | None) -> str:
    return nodes.text_of(selects.select([nodes.call(guard)])) if guard is not None else ""


def _counting_exactly(job: Job) -> Job:
    return job._replace(preferences=replace(job.preferences, count="exact"))


def _merges(job: Job) -> bool:
    return job.action.kind is ActionKind.UPSERT or job.preferences.resolution == "merge-duplicates"


def _returning(job: Job, table: Table, root: Level, target: Level) -> list[Node]:
    representation = job.preferences.representation
    if representation == "representation":
        return returned(root, target, table.primary_key)
    if representation == "headers-only" and table.primary_key:
        return [nodes.column(target.qualifier, name) for name in table.primary_key]
    return [nodes.number(1)]


def _names_the_key(job: Job, table: Table) -> bool:
    """Whether the filters are exactly an eq on each column of the primary key."""
    tests = [condition for path, condition in job.query.plan.conditions if not path]
    return (
        bool(table.primary_key)
        and not job.query.has_logic
        and job.query.filter_names == frozenset(table.primary_key)
        and all(isinstance(test, Filter) and test.operator == Operator("eq") for test in tests)
    )


def _known(table: Table, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in table.columns:
            raise RestError(400, "42703", f'column "{name}" does not exist')


def _whole_rows(job: Job) -> bool:
    return job.query.plan.select == ALL_COLUMNS


def _text(statement: Query, media: MediaType) -> str:
    text = nodes.text_of(statement)
    if media.kind is not Media.PLAN:
        return text
    options = [f"FORMAT {media.plan_format.upper()}", *(option.upper() for option in media.plan_options)]
    return f"EXPLAIN ({', '.join(options)}) {text}"


def _single(
    statement: Query,
    parameters: Parameters,
    guard: Name | None,
    *,
    read_only: bool = True,
    of_request: bool = False,
) -> str:
    return nodes.text_of(with_settings(statement, parameters, guard, read_only=read_only, of_request=of_request))
