"""Makes the statement of one request: planner, writer and media negotiation brought together."""

from __future__ import annotations

from src.adapters.postgres.rest import sql
from src.adapters.postgres.rest.lookups import find_table
from src.adapters.postgres.rest.negotiation import negotiate
from src.adapters.postgres.rest.planner import ReadPlanner
from src.adapters.postgres.rest.reading import ReadWriter
from src.adapters.postgres.rest.resolved import Level
from src.adapters.postgres.rest.sql import Parameters, Query
from src.adapters.postgres.rest.statements import Handler, read_statement, rows_as_json, with_settings
from src.domain.rest.catalog import Catalog
from src.domain.rest.media import Kind as Media
from src.domain.rest.media import MediaType
from src.domain.rest.plan import Field, SelectField
from src.domain.rest.prepared import Prepared
from src.domain.rest.request import Configuration, Job, Kind

ALL = (SelectField(Field("*")),)


class Preparation:
    """Prepares requests against one catalog."""

    def __init__(self, catalog: Catalog, configuration: Configuration) -> None:
        self.catalog = catalog
        self._configuration = configuration

    def prepare(self, job: Job) -> Prepared:
        """Raises RestError for whatever the catalog does not have."""
        if job.action.kind is Kind.READ:
            return self._read(job)
        raise NotImplementedError

    def _planner(self) -> ReadPlanner:
        return ReadPlanner(
            self.catalog, aggregates=self._configuration.aggregates, legacy_names=self._configuration.legacy_names
        )

    def _read(self, job: Job) -> Prepared:
        table = find_table(self.catalog, job.action.name)
        planner = self._planner()
        level = Level(table.name, table.name.name, dict(table.columns))
        root = planner.resolve(level, job.query.plan)
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
        limited = self._configuration.max_rows is not None
        if handler.kind is Media.NDJSON:
            query = rows_as_json(ReadWriter(parameters, limited=limited).query(root))
            return Prepared(sql.text_of(query), parameters.slots, media, table, warnings=tuple(planner.warnings))
        count = job.preferences.count
        statement = read_statement(
            root,
            Handler(None) if job.action.head else handler,
            parameters,
            counts=job.preferences.counts,
            limited=limited,
            estimated=count == "estimated",
        )
        explain_parameters = Parameters()
        explain = ReadWriter(explain_parameters).count(root) if count in ("planned", "estimated") else None
        return Prepared(
            _text(statement, media),
            parameters.slots,
            media,
            table,
            single=_single(statement, parameters) if media.kind is not Media.PLAN and explain is None else "",
            single_slots=parameters.slots,
            explain=f"EXPLAIN (FORMAT JSON) {sql.text_of(explain)}" if explain is not None else "",
            explain_slots=explain_parameters.slots,
            warnings=tuple(planner.warnings),
        )


def _whole_rows(job: Job) -> bool:
    return job.query.plan.select == ALL


def _text(statement: Query, media: MediaType) -> str:
    text = sql.text_of(statement)
    if media.kind is not Media.PLAN:
        return text
    options = [f"FORMAT {media.plan_format.upper()}", *(option.upper() for option in media.plan_options)]
    return f"EXPLAIN ({', '.join(options)}) {text}"


def _single(statement: Query, parameters: Parameters) -> str:
    return sql.text_of(with_settings(statement, parameters))
