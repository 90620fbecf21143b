"""Kinds of settings: what a value has to be, what it is read as, what is a secret in it and what of it may be shown."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from src.database import dsn
from src.edge import jwks
from src.settings import shown
from src.settings.addresses import is_web_address, networks_fault, origin_fault, public_fault
from src.settings.files import place_fault, storage_fault
from src.settings.weakness import MIN_SECRET_LENGTH, OURS, PASSWORD, Form, passwords_of

# Control characters, line separators, and bytes that are no UTF-8.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SHARED_PASSWORD = "the password in DATABASE_…URL"  # noqa: S105 - how it is called
# Stands in every link of its key.
KEY_ID = re.compile("[A-Za-z0-9._-]{1,16}")
ANY_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+")
# Time zones that Python finds in the system's files, and PostgreSQL has not.
OF_THE_SYSTEM_ALONE = re.compile("(?:posix|right)/.*|localtime|posixrules|Factory")

T = TypeVar("T")
Networks = tuple[IPv4Network | IPv6Network, ...]
Fault = str | None


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a value has to be, as what follows "must be"; `read` makes of one that is `sound` what our code takes.

    `faults` says what else is wrong with one, as what follows the setting's name, and `in_production` says it there.
    `held` gives the secrets of a setting, each with how it is called; they have this `form`. `show` makes of a sound
    value what may be shown, None for nothing. `blanks` are refused but there: what is compared with words or numbers
    needs no such look, and a list has no empty element. A `public` kind holds no secret, though its name may say so.
    """

    must_be: str
    read: Callable[[str], T]
    sound: Callable[[str], object] = bool
    faults: Callable[[str], Iterable[Fault]] = lambda _value: ()
    in_production: Callable[[str], Iterable[Fault]] | None = None
    show: Callable[[str], str | None] = shown.plain
    held: Callable[[str, str], Iterable[tuple[str, str]]] | None = None
    form: Form = OURS
    blanks: Literal["nowhere", "at its ends", "in a list", "anywhere"] = "nowhere"
    public: bool = False

    def is_sound(self, value: str) -> bool:
        with suppress(ValueError, ArithmeticError, LookupError, OSError):  # whatever reading it raises
            return bool(self.sound(value))
        return False

    def against(self, value: str, *, production: bool) -> Iterable[Fault]:
        """All that is wrong with a value. One of another kind is not repeated: it may be a secret."""
        if UNSEEN.search(value) and self.blanks != "anywhere":
            yield f"holds characters that cannot be seen, and must be {self.must_be}"
        elif value != value.strip() and self.blanks == "nowhere":
            yield f"has blanks at its ends, and must be {self.must_be}"
        elif not self.is_sound(value):
            yield another(self.must_be, value)
        else:
            if self.blanks == "in a list" and len(elements(value)) <= value.count(","):
                yield "has an empty element"
            yield from (self.in_production if production and self.in_production else self.faults)(value)

    def shown(self, value: str) -> str:
        """What is of its kind and looks like no secret; of anything else how long it is, as it may be one."""
        clear = not UNSEEN.search(value) and value == value.strip()
        found = self.show(value) if clear and self.is_sound(value) else None
        return f"({shown.length(value)})" if found is None else found


def another(must_be: str, value: str) -> str:
    return f"must be {must_be}; what is set has {shown.length(value)}"


def text(must_be: str = "a text", pattern: str = ".*", public: str = "") -> Kind[str]:
    """Words; what looks like `public` is no secret, however random."""

    def show(value: str) -> str | None:
        return value if re.fullmatch(public, value) else shown.plain(value)

    return Kind(must_be, str, re.compile(pattern, re.DOTALL).fullmatch, show=show, public=bool(public))


def one_of(read: Callable[[str], T], *values: str, unset: str = "") -> Kind[T]:
    return Kind(" or ".join(values) + unset, read, values.__contains__, show=str, blanks="anywhere")


def if_set(*values: str) -> Kind[str]:
    return one_of(str, *values, unset=", or not set")


def number(minimum: int, maximum: int) -> Kind[int]:
    def sound(value: str) -> bool:
        return (
            value.isascii() and value.isdigit() and len(value) <= len(str(maximum)) and minimum <= int(value) <= maximum
        )

    return Kind(f"a whole number from {minimum} to {maximum}", int, sound, show=str, blanks="anywhere")


def decimal(minimum: int, maximum: int) -> Kind[Decimal]:
    def sound(value: str) -> bool:
        return value.isascii() and "_" not in value and minimum <= Decimal(value) <= maximum

    return Kind(f"a number from {minimum} to {maximum}", Decimal, sound, show=str, blanks="anywhere")


def elements(value: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, value.split(","))))


def words(fault: Callable[[str], Fault] = lambda _word: None) -> Kind[tuple[str, ...]]:
    """Words with commas; `fault` says what is against one."""
    must_be = "words with commas between them"
    return Kind(must_be, elements, faults=lambda value: map(fault, elements(value)), blanks="in a list")


def secret(form: Form = OURS, *, long_everywhere: bool = False) -> Kind[str]:
    def faults(value: str) -> list[Fault]:
        return (
            [f"must have {form.min_length} characters or more"]
            if long_everywhere and len(value) < form.min_length
            else []
        )

    must_be = f"a secret{'' if long_everywhere else ', in production'} {form}"
    # In production every secret is looked at.
    return Kind(must_be, str, faults=faults, in_production=lambda _value: (), show=shown.hidden, held=_whole, form=form)


def secrets(form: Form = OURS) -> Kind[tuple[str, ...]]:
    """Several while one is being rotated."""
    must_be = f"a secret, or several with commas between them, in production each {form}"
    return Kind(must_be, elements, show=shown.hidden, held=_each, form=form, blanks="in a list")


def _whole(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, value)]


def _each(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, found) for found in elements(value)]


def _keys(value: str) -> Mapping[str, str]:
    return {key_id: found for key_id, _, found in (entry.partition(":") for entry in elements(value))}


def _are_keys(value: str) -> bool:
    keys = _keys(value)
    well = all(KEY_ID.fullmatch(key_id) and len(found) >= MIN_SECRET_LENGTH for key_id, found in keys.items())
    return well and len(keys) == len(elements(value))


def _held_by_keys(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, entry.partition(":")[2]) for entry in elements(value)]


def _held_by_database(name: str, value: str) -> list[tuple[str, str]]:
    with suppress(ValueError):
        address = dsn.Dsn.of(value)
        kept = _held_by_passfile(f"the passfile of {name}", address.value("passfile"))
        return [(SHARED_PASSWORD, unquote(address.password)), *kept]
    return []


def _held_by_passfile(name: str, file: str) -> list[tuple[str, str]]:
    return [(f"a password in {name}", password) for password in passwords_of(file)]


def address(fault: Callable[[str], Fault] = public_fault) -> Kind[str]:
    """An address that we call or hand out; `fault` says what production has against one."""
    must_be = "an http or https address"

    def faults(value: str) -> list[Fault]:
        return [None if is_web_address(value) else another(must_be, value)]

    return Kind(must_be, str, faults=faults, in_production=lambda value: [fault(value)], show=shown.address)


def _origins(value: str) -> tuple[str, ...]:
    return tuple(map(str.lower, elements(value)))  # as browsers send them


def _faults_of_origins(value: str) -> list[Fault]:
    return [None if all(map(ANY_ORIGIN.fullmatch, _origins(value))) else another(ORIGINS.must_be, value)]


def _networks(value: str) -> Networks:
    return tuple(map(ip_network, elements(value)))


def _is_readable(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.R_OK)


def certificates(word: str = "") -> Kind[str]:
    """The path of a file with certificates of who vouches for servers, or this word."""

    def sound(value: str) -> bool:
        return value == word or bool(ssl.create_default_context(cafile=value).get_ca_certs())

    must_be = f"a file with certificates (PEM){f', or {word}' if word else ''}"
    return Kind(must_be, str, sound, show=str, blanks="at its ends")


def _may_be_folder(value: str) -> bool:
    """Whether it is one, or nothing is in its way."""
    path = Path(value).absolute()
    return next(place for place in (path, *path.parents) if place.exists()).is_dir()


def folder_with(program: str = "") -> Kind[Path | None]:
    def sound(value: str) -> bool:
        return Path(value).is_dir() and (Path(value) / program).exists()

    must_be = f"a folder with {program or 'programs'} in it"
    return Kind(must_be, lambda value: Path(value) if value else None, sound, blanks="at its ends")


def _is_timezone(name: str) -> bool:
    return not OF_THE_SYSTEM_ALONE.fullmatch(name) and bool(ZoneInfo(name))


def _faults_of_public_keys(value: str) -> list[Fault]:
    try:
        jwks.public_keys(value)
    except ValueError as error:
        return [str(error)]
    return []


TEXT = text()
# Others' secrets may be among them.
HEADERS: Kind[str] = Kind("name=value,name=value", str, show=shown.hidden)
# Addresses and files of one database share it.
DATABASE_PASSWORD: Kind[str] = Kind("a password", str, show=shown.hidden, held=_whole, form=PASSWORD)
# What else holds for it depends on other settings: src/settings/environment.py.
DATABASE_ADDRESS = "postgresql://user:password@host:port/database?sslmode=…"
DATABASE: Kind[str] = Kind(DATABASE_ADDRESS, str, show=shown.database, held=_held_by_database, form=PASSWORD)
LINK_KEYS: Kind[Mapping[str, str]] = Kind(
    f"id:secret,id:secret with different short ids and {MIN_SECRET_LENGTH} characters or more",
    _keys,
    _are_keys,
    show=shown.hidden,
    held=_held_by_keys,
    blanks="in a list",
)
STORAGE: Kind[str] = Kind(
    "s3://bucket/prefix, file:///folder or memory://",
    str,
    faults=lambda value: [storage_fault(value, lasting=False)],
    in_production=lambda value: [storage_fault(value, lasting=True)],
    show=lambda value: None if place_fault(value) else shown.plain(value),
)
ORIGINS: Kind[tuple[str, ...]] = Kind(
    "origins such as https://ops.example.org,https://www.example.org",
    _origins,
    faults=_faults_of_origins,
    in_production=lambda value: map(origin_fault, _origins(value)),
    blanks="in a list",
)
NETWORKS: Kind[Networks] = Kind(
    "IP networks such as 10.0.0.0/8,2001:db8::/32",
    _networks,
    _networks,
    in_production=lambda value: [networks_fault(_networks(value))],
    show=str,
    blanks="in a list",
)
FILE: Kind[str] = Kind("a file that can be read", str, _is_readable, show=str, blanks="at its ends", public=True)
PASSFILE = replace(FILE, held=_held_by_passfile, form=PASSWORD)
FOLDER: Kind[Path] = Kind("a folder you own, made when it is missing", Path, _may_be_folder, blanks="at its ends")
TIMEZONE: Kind[str] = Kind("a time zone such as Africa/Kigali", str, _is_timezone, show=str, blanks="anywhere")
# What it holds is no secret.
PUBLIC_KEYS: Kind[str] = Kind(
    "a file with a JWKS, or its JSON",
    str,
    faults=_faults_of_public_keys,
    show=lambda value: value if FILE.is_sound(value) else None,
    blanks="anywhere",
)
