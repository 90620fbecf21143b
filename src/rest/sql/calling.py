"""Resolves a function by its arguments and writes the call."""

from __future__ import annotations

from collections.abc import Iterable

from src.edge.limits import too_long
from src.rest.catalog.fuzzy import nearest
from src.rest.catalog.model import TEXT, Catalog, Name, Parameter, Routine
from src.rest.errors import RestError, too_long_name
from src.rest.protocol.media import Media
from src.rest.protocol.request import Job
from src.rest.sql import nodes, selects
from src.rest.sql.nodes import Node, Parameters, Query, Slot
from src.rest.sql.resolved import Level
from src.rest.sql.statements import SCALAR
from src.rest.sql.writing import BODY, computed_fields, record_rows

CALL = "pgrst_call"
MIN_LIKENESS = 0.75
# PostgreSQL's maximum number of arguments.
MAX_ARGUMENTS = 100
UNNAMED = {
    Media.JSON: ("json", "jsonb"),
    Media.TEXT: ("text",),
    Media.XML: ("xml",),
    Media.OCTETS: ("bytea",),
}
RAW = frozenset({Media.TEXT, Media.XML, Media.OCTETS})


def find_routine(catalog: Catalog, job: Job) -> Routine:
    """The one function that takes exactly these arguments, else one that takes the whole body.

    Raises RestError PGRST202 when there is none, PGRST203 when there are several.
    """
    name, keys = job.action.name, argument_names(job)
    overloads = catalog.routines.get(name, ())
    posted = job.payload is not None
    named = [routine for routine in overloads if _takes(routine, keys, job)]
    unnamed = [r for r in overloads if posted and r not in named and _takes_body(r, job)]
    found = named or unnamed
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(found)
    if any(too_long(key) for key in keys):
        raise too_long_name()
    raise _unknown(catalog, name, sorted(keys), job)


def argument_names(job: Job) -> frozenset[str]:
    if job.payload is not None:
        return job.payload.keys
    return frozenset(name for name, _ in job.query.arguments)


def _takes(routine: Routine, keys: frozenset[str], job: Job) -> bool:
    if not routine.parameters:
        return not keys and not (job.payload is not None and job.content.kind in RAW)
    required = {parameter.name for parameter in routine.parameters if parameter.required}
    known = {parameter.name for parameter in routine.parameters}
    return required <= keys <= known


def _takes_body(routine: Routine, job: Job) -> bool:
    if len(routine.parameters) != 1 or routine.parameters[0].name:
        return False
    return routine.parameters[0].type.name in UNNAMED.get(job.content.kind, ())


def _ambiguous(found: list[Routine]) -> RestError:
    found = sorted(found, key=lambda r: (len(r.parameters), [(p.name, p.shown_type) for p in r.parameters]))
    shown = ", ".join(
        f"{r.name.schema}.{r.name.name}({', '.join(f'{p.name} => {p.shown_type}' for p in r.parameters)})"
        for r in found
    )
    return RestError(
        300,
        "PGRST203",
        f"Could not choose the best candidate function between: {shown}",
        hint="Try renaming the parameters or the function itself in the database "
        "so function overloading can be resolved",
    )


def _unknown(catalog: Catalog, name: Name, keys: list[str], job: Job) -> RestError:
    function = f"{name.schema}.{name.name}"
    # More arguments than a function can have are cut.
    listed = ", ".join(keys[:MAX_ARGUMENTS])
    raw = job.payload is not None and job.content.kind in RAW
    searched = f" with parameter{'s' if len(keys) > 1 else ''} {listed}" if keys else " without parameters"
    if raw:
        searched = f" with a single unnamed {UNNAMED[job.content.kind][0]} parameter"
    elif job.payload is not None and job.content.kind is Media.JSON:
        searched += " or with a single unnamed json/jsonb parameter"
    shown = "" if raw else (f"({listed})" if keys else " without parameters")
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {function}{shown} in the schema cache",
        f"Searched for the function {function}{searched}, but no matches were found in the schema cache.",
        None if raw else _hint(catalog, name, keys),
    )


def unknown_routine(catalog: Catalog, name: Name) -> RestError:
    """The error for a function that does not exist, before the arguments are known."""
    function = f"{name.schema}.{name.name}"
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {function} in the schema cache",
        f"Searched for the function {function}, but no matches were found in the schema cache.",
        _hint(catalog, name, []),
    )


def _hint(catalog: Catalog, name: Name, keys: list[str]) -> str | None:
    overloads = catalog.routines.get(name, ())
    if overloads:
        lists = [_listed(parameter.name for parameter in routine.parameters) for routine in overloads]
        near = nearest(_listed(keys[:MAX_ARGUMENTS]), lists)
        near = None if near is None else f"{name.name}{near}"
    else:
        near = nearest(name.name, [n.name for n in catalog.routines if n.schema == name.schema], MIN_LIKENESS)
    return None if near is None else f"Perhaps you meant to call the function {name.schema}.{near}"


def _listed(names: Iterable[str]) -> str:
    return f"({', '.join(sorted(names))})"


def call(routine: Routine, job: Job, parameters: Parameters, level: Level) -> Query:
    """SELECT the function's result, with the computed fields of its rows that `level` names."""
    keys = argument_names(job)
    given = [parameter for parameter in routine.parameters if parameter.name in keys]
    source: Node | None = None
    arguments: list[Node] = []
    if len(routine.parameters) == 1 and not routine.parameters[0].name:
        arguments = [_whole_body(routine.parameters[0], job, parameters)]
    elif given and job.payload is not None and job.payload.arguments is None:
        definitions = [(parameter.name, parameter.type) for parameter in given]
        rows = record_rows(parameters, definitions, is_object=job.payload.is_object)
        source = selects.subquery(selects.select([nodes.star()], rows, limit=nodes.number(1)), BODY)
        arguments = [_named(parameter, nodes.column(BODY, parameter.name)) for parameter in given]
    elif given:
        arguments = [_named(parameter, _direct(parameter, job, parameters)) for parameter in given]
    called = nodes.call(routine.name, *arguments)
    if routine.returns.scalar:
        query = selects.select([nodes.alias(called, SCALAR)], None)
        return _from(source, [nodes.column(CALL, SCALAR)], query)
    fields = [nodes.column(CALL, "*"), *computed_fields(level, CALL)]
    if source is None:
        return selects.select(fields, selects.function_table(called, CALL))
    return selects.select(fields, source, joins=[selects.join(selects.lateral_table(called, CALL), "cross")])


def _from(source: Node | None, fields: list[Node], query: Query) -> Query:
    if source is None:
        return selects.select(fields, selects.subquery(query, CALL))
    return selects.select(fields, source, joins=[selects.join(selects.lateral(query, CALL), "cross")])


def _named(parameter: Parameter, value: Node) -> Node:
    return nodes.named_argument(parameter.name, value, variadic=parameter.variadic)


def _whole_body(parameter: Parameter, job: Job, parameters: Parameters) -> Node:
    if job.content.kind is Media.OCTETS:
        return nodes.cast(parameters.raw(Slot("body_bytes")), parameter.type)
    return parameters.typed(Slot("body"), parameter.type)


def _direct(parameter: Parameter, job: Job, parameters: Parameters) -> Node:
    """An argument of a query string or form: the last of repeated ones, or all of a variadic one."""
    payload = job.payload
    given = payload.arguments if payload is not None and payload.arguments is not None else job.query.arguments
    positions = [position for position, (name, _) in enumerate(given) if name == parameter.name]
    kind = "variadic" if parameter.variadic else "argument"
    return parameters.typed(Slot(kind, positions[-1]), parameter.type if parameter.type != TEXT else None)
