"""What one request may ask for, by the caller's role. Both APIs use these limits (docs/security.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

MEBIBYTE = 1024 * 1024
# PostgreSQL's maximum bytes of an identifier.
MAX_NAME_LENGTH = 63
# The maximum bytes of an answer's header: nginx's 4 KiB buffer, less the headers that middleware and servers add.
MAX_HEADER_SIZE = 3072


def too_long(name: str) -> bool:
    """Whether a name is longer than any identifier."""
    return len(name) > MAX_NAME_LENGTH or (not name.isascii() and len(name.encode(errors="replace")) > MAX_NAME_LENGTH)


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """`depth` counts objects and lists inside each other, `keys` those of one object.

    `values` are the elements of all lists and the members of all objects.
    """

    depth: int = 64
    keys: int = 10_000
    values: int = 100_000


OF_BODIES = JsonLimits()
# Providers' answers are larger than callers' bodies, such as a city's hotels with all rates.
OF_PROVIDERS = JsonLimits(keys=100_000, values=1_000_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """`body` and `header`, one header's value, are in bytes.

    Of the query language of `/rest/v1`: `parameters` of a URL, form or QUERY body; `terms`, which are selected fields,
    embedded resources, conditions and groups of them, order terms, names in `columns` and `on_conflict` and steps into
    JSON, all together; `embeds`, how many embedded resources are joined, again with all that is inside of them for each
    filter that asks whether there is one; `repeats`, how often one field of one resource may be selected under
    different names; `elements` of all lists, `choices` of those of `any` and `all`, each of which is compared with each
    row; `pattern`, the characters of a text to search for or of a pattern;
    `states` of all regular expressions, their characters with all repetitions written out (src/rest/query/patterns.py);
    `nesting` of embedded resources and of logic; `fields` of a CSV body.
    """

    body: int = MEBIBYTE
    header: int = 4096
    parameters: int = 400
    terms: int = 400
    embeds: int = 40
    repeats: int = 8
    elements: int = 20_000
    choices: int = 1_000
    pattern: int = 1_000
    states: int = 3_000
    nesting: int = 32
    fields: int = 50_000


USER = Limits()
SERVICE = replace(
    USER,
    body=64 * MEBIBYTE,
    parameters=2_000,
    terms=2_000,
    embeds=100,
    repeats=2_000,
    elements=200_000,
    choices=20_000,
    pattern=10_000,
    states=100_000,
    fields=1_000_000,
)
