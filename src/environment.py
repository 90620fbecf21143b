"""The environment, setting by setting: each is declared by the method that reads it, once, with all its faults kept."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from src import production
from src.database import dsn
from src.edge import jwks
from src.edge.errors import SettingsError
from src.production import MIN_SECRET_LENGTH, OURS, PASSWORD, Form

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
DEVELOPMENT, PRODUCTION = "development", "production"
# What is named so is a secret, unless it is read by one of the methods for other things.
SECRET_NAME = re.compile(r"(?:^|_)(?:SECRETS?|KEYS?|TOKENS?|PASSWORDS?)(?:_|$)")
# Control characters, line separators, and bytes that are no UTF-8.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

DATABASE_PASSWORD = "the password in DATABASE_…URL"  # noqa: S105 - how it is called


class Words(NamedTuple):
    """What a text has to look like: `kind` follows "must be". What looks like `public` is no secret, however random."""

    kind: str = "a text"
    pattern: str = ".*"
    public: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a reading declares of a setting: `kind` follows "must be", `needed` is in production.

    `show` makes of a value what may be shown of it; None for what is not of its kind.
    """

    name: str
    kind: str
    default: str
    needed: bool
    show: Callable[[str], str | None]

    def shown(self, value: str) -> str:
        """What is of its kind and looks like no secret; of anything else how long it is, as it may be one."""
        found = None if UNSEEN.search(value) or value != value.strip() else self.show(value)
        return f"({_length(value)})" if found is None else found


ANY_WORDS = Words()
SHOWN_PARAMETERS = ("application_name", "port", "sslmode", "sslrootcert", "target_session_attrs")
PLAIN = re.compile(r"[\w.,:/ -]*", re.ASCII)
# Stands in every link of its key.
KEY_ID = re.compile("[A-Za-z0-9._-]{1,16}")
# Time zones that Python finds in the system's files, and PostgreSQL has not.
OF_THE_SYSTEM_ALONE = re.compile("(?:posix|right)/.*|localtime|posixrules|Factory")
# How keys and tokens begin, credentials in an address, and runs of letters and digits that nobody gives as a name.
KEYS = re.compile(r"-----BEGIN|(?<![A-Za-z])(?:sk|rk|pk|whsec|gh[a-z]|xox[a-z])[_-]|eyJ|EAA|://[^/]*@")
RUN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"
    r"|(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,})"
)
CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=[0-9])[A-Za-z]")
MAX_CHANGES = 8


def looks_secret(text: str) -> bool:
    """Whether a text might be a key or password, or hold one: in random letters small, capital and digit alternate."""
    return bool(KEYS.search(text) or RUN.search(text)) or len(CHANGE.findall(text)) >= MAX_CHANGES


def _plain(value: str) -> str | None:
    """Words, names, paths and hosts."""
    return value if PLAIN.fullmatch(value) and not looks_secret(value) else None


def _hidden(_value: str) -> str:
    return "set"


def _if(sound: Callable[[str], object]) -> Callable[[str], str | None]:
    """Shows what is sound by its kind, which no secret can be."""
    return lambda value: value if sound(value) else None


def _path(value: str) -> str | None:
    """Somebody may have put there what should be in the file."""
    return value if _is_readable(value) else None


def _without_credentials(address: str) -> str | None:
    """An address without what stands before an @ or behind a question mark or hash."""
    parts = urlsplit(address) if production.is_web_address(address) else None
    # In a password that is not percent-encoded a / ? or # ends what was meant as the host.
    if parts is None or "@" in address.partition(parts.netloc)[2]:
        return None
    login, at, place = parts.netloc.rpartition("@")
    path = "/***" if _plain(parts.path) is None else parts.path
    rest = ("?***" if "?" in address else "") + ("#***" if "#" in address else "")
    return _plain(place) and f"{parts.scheme}://{login and '***'}{at}{place}{path}{rest}"


def _without_password(address: str) -> str | None:
    """A database's address without its password, wherever in it that stands."""
    try:
        given = dsn.Dsn.of(address)
    except ValueError:
        return None
    if "@" in address.partition("?")[2] or "#" in address:
        return None

    def plain(text: str) -> str:
        return "***" if _plain(unquote(text)) is None else text

    # Who has no password may be one.
    user = (f"{plain(given.user)}:***" if given.password else "***") if given.user else ""
    hosts = ",".join(f"{plain(host.name)}{host.port and ':'}{host.port}" for host in given.hosts)
    named = [
        f"{name if dsn.LIBPQ.fullmatch(name) else '***'}={plain(value) if name in SHOWN_PARAMETERS else '***'}"
        for name, value in given.parameters.items()
    ]
    place = f"{user}{user and '@'}{hosts}/{plain(given.path)}"
    return f"{given.scheme}://{place}{'?' if named else ''}{'&'.join(named)}"


def _length(value: str) -> str:
    return f"{len(value)} character{'' if len(value) == 1 else 's'}"


def _secret_kind(form: Form) -> str:
    behind = f" behind {' or '.join(form.prefixes)}" if any(form.prefixes) else ""
    return f"of {form.least} characters or more{behind}"


def _is_readable(path: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(path).is_file() and os.access(path, os.R_OK)
    return False


def _holds_certificates(path: str) -> bool:
    with suppress(OSError, ValueError):
        return bool(ssl.create_default_context(cafile=path).get_ca_certs())
    return False


def _is_key_pair(certificate: str, key: str) -> bool:
    with suppress(OSError, ValueError):
        # Without a password OpenSSL would ask whoever sits at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key or None, password="")
        return True
    return False


def _may_be_folder(path: Path, holds: str | None = None) -> bool:
    """Whether it is one, or nothing is in its way."""
    with suppress(OSError, ValueError):
        if holds is not None:
            return path.is_dir() and (path / holds).exists()
        return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists()).is_dir()
    return False


def _is_timezone(name: str) -> bool:
    if OF_THE_SYSTEM_ALONE.fullmatch(name):
        return False
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return bool(ZoneInfo(name))
    return False


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Those of a list with commas; none when one of them is none."""
    with suppress(ValueError):
        return tuple(ip_network(element.strip()) for element in text.split(",") if element.strip())
    return ()


def _place(url: str) -> str | None:
    return None if production.place_fault(url) else _plain(url)


def is_production(environ: Mapping[str, str]) -> bool:
    """What ECOTRIPS_ENV says. Raises SettingsError for a word that it does not know."""
    given = Environment(environ, production=False)
    name = given.one_of("ECOTRIPS_ENV", PRODUCTION, DEVELOPMENT)
    given.require_sound()
    return name == PRODUCTION


def reach_this_machine_directly(environ: MutableMapping[str, str]) -> None:
    """Let calls to this machine go past a proxy that the environment names; all others go by it.

    So do those that go in plain text because nobody is in between: to the addresses at which platforms give
    credentials, and to collectors that are near.

    Every HTTP library of ours reads NO_PROXY, some the one spelling first, some the other.
    """
    given = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    near = (*THIS_MACHINE, *production.PLATFORMS, *production.near_collectors(environ))
    spared = dict.fromkeys(host.strip() for host in (*given, *near) if host.strip())
    environ["no_proxy"] = environ["NO_PROXY"] = "*" if "*" in spared else ",".join(spared)


class Environment:
    """Reads settings. A missing or wrong one gives its default and adds to `faults`; `require_sound` tells them all.

    An empty one is not set. In production a setting that is `wanted` has to be there, and every setting is held to
    src/production.py.
    """

    def __init__(self, given: Mapping[str, str], *, production: bool) -> None:
        self.production = production
        self.declared: dict[str, Setting] = {}
        self.faults: list[str] = []
        self._given = given
        self._secrets: list[tuple[str, str]] = []
        self._passwords: set[str] = set()
        self._own: dict[str, set[str]] = {}

    def text(
        self, name: str, default: str = "", words: Words = ANY_WORDS, *, wanted: bool = False, public: bool = False
    ) -> str:
        """Words that are no secret and no address; `public` are those whose name only says "secret".

        Raises AssertionError for a name that says so.
        """
        assert public or not SECRET_NAME.search(name), f"{name} is to be read as a secret"  # noqa: S101 - for who adds a setting

        def show(value: str) -> str | None:
            if not re.fullmatch(words.pattern, value):
                return None
            return value if re.fullmatch(words.public, value) else _plain(value)

        value = self._given_text(name, words.kind, default, wanted=wanted, show=show)
        if value and not re.fullmatch(words.pattern, value):
            self._refuse(name, words.kind, value)
            return default
        if wanted:
            self._judge(name, value, production.text_fault)
        return value or default

    def hidden(self, name: str, kind: str) -> str:
        """Words among which others' secrets may be."""
        return self._given_text(name, kind, show=_hidden)

    def authorities(self, name: str, word: str = "") -> str:
        """The path of a file with certificates of who vouches for servers, or this word."""
        kind = f"a file with certificates (PEM){f', or {word}' if word else ''}"
        value = self._given_text(name, kind, show=lambda value: word if value == word else _path(value), blanks=True)
        if value and value != word and not _holds_certificates(value):
            self._refuse(name, kind, value)
            return ""
        return value

    def key_pair(self, certificate: str, key: str) -> tuple[str, str]:
        """The paths of a client's certificate and of its key, which may stand in one file."""
        found = self.file(certificate), self.file(key)
        if found[0] and not _is_key_pair(*found):
            self._refuse(certificate, f"a file with a certificate (PEM) and its key, or that in {key}", found[0])
        if found[1]:
            self.wants(key, certificate)
        return found

    def wants(self, name: str, other: str) -> None:
        """A setting is of no use without another one."""
        if self._given.get(name) and not self._given.get(other):
            self.faults.append(f"{name} must be set together with {other}")

    def file(self, name: str) -> str:
        """A file's path: the secret that it may hold is not in the environment."""
        kind = "a file that can be read"
        value = self._given_text(name, kind, show=_path, blanks=True)
        if value and not _is_readable(value):
            self._refuse(name, kind, value)
            return ""
        return value

    def folder(self, name: str, default: str = "", holds: str | None = None) -> Path | None:
        """A folder that is there or can be made; one that `holds` something has to be there. None when not set."""
        kind = f"a folder with {holds or 'programs'} in it"
        if holds is None:
            kind = "a folder you own, made when it is missing"
        value = self._given_text(
            name,
            kind,
            default,
            show=lambda value: _plain(value) if _may_be_folder(Path(value), holds) else None,
            blanks=True,
        )
        if value and not _may_be_folder(Path(value), holds):
            self._refuse(name, kind, value)
            value = ""
        return Path(value or default) if value or default else None

    def listed(
        self,
        name: str,
        default: tuple[str, ...] = (),
        *,
        wanted: bool = False,
        fault: Callable[[str], str | None] = lambda _word: None,
    ) -> tuple[str, ...]:
        """Words with commas between them; `fault` says what is against one, everywhere."""
        words = self._elements(name, "words with commas between them", ", ".join(default), wanted=wanted)
        self.faults += dict.fromkeys(f"{name} {found}" for word in words if (found := fault(word)))
        return words or default

    def public_keys(self, name: str) -> str:
        """A JWKS, or the path of one: what it holds is no secret."""
        value = self._given_text(name, "a file with a JWKS, or its JSON", show=_path, compared=True)
        if value:
            try:
                jwks.public_keys(value)
            except ValueError as error:
                self.faults.append(f"{name} {error}")
        return value

    def one_of(self, name: str, *values: str, default: str = "", any_case: bool = False) -> str:
        kind = " or ".join(values) if default else f"{' or '.join(values)}, or not set"

        def read(value: str) -> str:
            return value.upper() if any_case else value

        value = self._given_text(name, kind, default, show=_if(lambda value: read(value) in values), compared=True)
        found = read(value)
        if value and found not in values:
            self._refuse(name, kind, value)
            return default
        return found or default

    def secret(
        self,
        name: str,
        form: Form = OURS,
        *,
        wanted: bool = False,
        needed: bool = False,
        long_everywhere: bool = False,
    ) -> str:
        """One secret, `needed` or `long_everywhere` outside of production too."""
        kind = f"a secret{'' if long_everywhere else ', in production'} {_secret_kind(form)}"
        value = self._given_text(name, kind, wanted=wanted, needed=needed, show=_hidden)
        self._hold(name, value, form)
        if long_everywhere and not self.production and 0 < len(value) < form.least:
            self.faults.append(f"{name} must have {form.least} characters or more")
        return value

    def secrets(self, name: str, form: Form = OURS, *, wanted: bool = False) -> tuple[str, ...]:
        """Secrets with commas between them: several while one is being rotated."""
        kind = f"a secret, or several with commas between them, in production each {_secret_kind(form)}"
        values = self._elements(name, kind, wanted=wanted, show=_hidden)
        for value in values:
            self._hold(name, value, form)
        return values

    def keys(self, name: str, *, wanted: bool = False) -> Mapping[str, str]:
        """`id:secret,id:secret`, the first one first. A secret has 32 characters or more."""
        kind = f"id:secret,id:secret with different short ids and {MIN_SECRET_LENGTH} characters or more"
        keys: dict[str, str] = {}
        for entry in self._elements(name, kind, wanted=wanted, show=_hidden):
            key_id, _, secret = entry.partition(":")
            if not KEY_ID.fullmatch(key_id) or key_id in keys or len(secret) < MIN_SECRET_LENGTH:
                self.faults.append(f"{name} must be {kind}")
            self._hold(name, secret, OURS)
            keys[key_id] = secret
        return keys

    def foreign(self, what: str, secret: str) -> None:
        """A secret that is in use elsewhere: none of ours may be the same."""
        if self.production:
            self._secrets.append((what, secret))

    def database(self, name: str, *, needed: bool = False) -> str:
        """A database's address. Its password is a secret that the addresses of one database share."""
        kind = "postgresql://user:password@host:port/database?sslmode=…"
        value = self._given_text(name, kind, needed=needed, show=_without_password)
        if not value:
            return ""
        # What is wrong with PG… is told once, by its own name.
        told = {fault.split()[0] for fault in self.faults}
        if fault := dsn.fault(value, {other: given for other, given in self._given.items() if other not in told}):
            self.faults.append(f"{name}: {fault}")
        elif self.production:
            address = dsn.Dsn.of(value)
            self.faults += [f"{name} {fault}" for fault in production.database_faults(address, self._given)]
            self._own[name] = {address.password, unquote(address.password)}
            self._hold_password(DATABASE_PASSWORD, unquote(address.password))
            self._hold_passwords_of(f"the passfile of {name}", address.value("passfile"))
        return value

    def password(self, name: str) -> str:
        """A database's password, which may be that of the database's address, too."""
        value = self._given_text(name, "a password", show=_hidden)
        self._own[name] = {value}
        self._hold_password(name, value)
        return value

    def passwords(self, name: str) -> str:
        """The path of a file with passwords of databases (libpq's)."""
        value = self.file(name)
        if self.production:
            self._hold_passwords_of(name, value)
        return value

    def address(
        self,
        name: str,
        default: str = "",
        *,
        wanted: bool = False,
        fault: Callable[[str], str | None] | None = production.public_fault,
    ) -> str:
        """An address that we call or hand out; `fault` says what production has against it, None nothing more."""
        kind = "an http or https address"
        value = self._given_text(name, kind, default, wanted=wanted, show=_without_credentials)
        if self.production and fault is not None:
            self._judge(name, value, fault)
        elif value and not production.is_web_address(value):
            self._refuse(name, kind, value)
            return default
        return value or default

    def storage(self, name: str, *, wanted: bool = False) -> str:
        """Where files are kept. Outside of production DATA_DIR is the place without it."""
        kind = "s3://bucket/prefix, file:///folder or memory://"
        value = self._given_text(name, kind, wanted=wanted, show=_place)
        if value and (fault := production.storage_fault(value, lasting=self.production)):
            self.faults.append(f"{name} {fault}")
            return ""
        return value

    def origins(self, name: str) -> tuple[str, ...]:
        """Origins with commas between them."""
        kind = "origins such as https://ops.example.org,https://www.example.org"
        origins = tuple(map(str.lower, self._elements(name, kind)))  # as browsers send them
        for origin in origins:
            self._judge(name, origin, production.origin_fault)
            if not self.production and not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+", origin):
                self._refuse(name, kind, self._given.get(name, ""))
                break
        return origins

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """IP networks with commas between them; one of everybody is none in production."""
        kind = "IP networks such as 10.0.0.0/8,2001:db8::/32"
        elements = self._elements(name, kind, show=_if(_networks))
        networks = _networks(",".join(elements))
        if elements and not networks:
            self._refuse(name, kind, self._given.get(name, ""))
            return ()
        if self.production and (fault := production.networks_fault(networks)):
            self.faults.append(f"{name} {fault}")
        return networks

    def number(self, name: str, default: int, least: int, most: int) -> int:
        kind = f"a whole number from {least} to {most}"

        def is_sound(value: str) -> bool:
            sensible = value.isascii() and value.isdigit() and len(value) <= len(str(most))
            return sensible and least <= int(value) <= most

        value = self._given_text(name, kind, str(default), show=_if(is_sound), compared=True)
        if value and not is_sound(value):
            self._refuse(name, kind, value)
            return default
        return int(value or default)

    def decimal(self, name: str, default: str, least: int, most: int) -> Decimal:
        kind = f"a number from {least} to {most}"

        def is_sound(value: str) -> bool:
            try:
                number = Decimal(value)
            except InvalidOperation:
                return False
            return not number.is_nan() and least <= number <= most and value.isascii() and "_" not in value

        value = self._given_text(name, kind, default, show=_if(is_sound), compared=True)
        if value and not is_sound(value):
            self._refuse(name, kind, value)
            return Decimal(default)
        return Decimal(value or default)

    def timezone(self, name: str, default: str) -> str:
        kind = f"a time zone such as {default}"
        value = self._given_text(name, kind, default, show=_if(_is_timezone), compared=True)
        if value and not _is_timezone(value):
            self._refuse(name, kind, value)
            return default
        return value or default

    def switch(self, name: str, *values: str, production: str | None = None) -> str:
        """One of the values (`0` and `1`), the first unless told; `production` is the only one there."""
        values = values or ("0", "1")
        default = production if production is not None and self.production else values[0]
        value = self.one_of(name, *values, default=default)
        if self.production and production is not None and value != production:
            self.faults.append(f"{name}={value} is not allowed in production; it must be {production}")
        return value

    def all_faults(self) -> list[str]:
        stored = self.production and self._given.get("STORAGE_URL", "").startswith("s3://")
        by_libraries = production.library_faults(self._given) if self.production else ()
        by_store = production.store_faults(self._given) if stored else ()
        return [
            *(*self.faults, *by_libraries, *by_store),
            *(*production.repetitions(self._secrets), *dict.fromkeys(self._secrets_elsewhere())),
        ]

    def _secrets_elsewhere(self) -> Iterator[str]:
        """Settings in which a secret stands that is not theirs: what is no secret is shown, logged and sent."""
        for name in self.declared:
            text = self._given.get(name, "")
            for own in filter(None, self._own.get(name, ())):
                text = text.replace(own, "")
            for what, secret in self._secrets:
                if text and production.holds(text, secret):
                    yield f"{name} holds {what}"

    def require_sound(self) -> None:
        """Raises SettingsError with every fault, and never with a secret."""
        found = self.all_faults()
        if found and self.production:
            raise SettingsError("not fit for production:\n  " + "\n  ".join(found))
        if found:
            raise SettingsError("\n".join(found))

    def _given_text(
        self,
        name: str,
        kind: str,
        default: str = "",
        *,
        wanted: bool = False,
        needed: bool = False,
        show: Callable[[str], str | None] = _plain,
        blanks: bool = False,
        compared: bool = False,
    ) -> str:
        """What is given. `blanks` may be at its ends; what is `compared` with words or numbers needs no other look."""
        self.declared[name] = Setting(name, kind, default, needed or wanted, show)
        value = self._given.get(name, "")
        if (needed or (wanted and self.production)) and not value.strip(" ,\t\n"):
            self.faults.append(f"{name} is not set")
            return ""
        unseen = not compared and UNSEEN.search(value)
        if unseen or not (compared or blanks or value == value.strip()):
            wrong = "holds characters that cannot be seen" if unseen else "has blanks at its ends"
            self.faults.append(f"{name} {wrong}, and must be {kind}")
            return ""
        return value

    def _refuse(self, name: str, kind: str, value: str) -> None:
        """Without the value: what is not of its kind may be a secret that somebody put there."""
        self.faults.append(f"{name} must be {kind}; what is set has {_length(value)}")

    def _judge(self, name: str, value: str, fault: Callable[[str], str | None]) -> None:
        if self.production and value and (found := fault(value)):
            self.faults.append(f"{name} {found}")

    def _elements(
        self,
        name: str,
        kind: str,
        default: str = "",
        *,
        wanted: bool = False,
        show: Callable[[str], str | None] = _plain,
    ) -> tuple[str, ...]:
        value = self._given_text(name, kind, default, wanted=wanted, show=show, blanks=True)
        elements = tuple(map(str.strip, value.split(","))) if value else ()
        if not all(elements):
            self.faults.append(f"{name} has an empty element")
        return tuple(filter(None, elements))

    def _hold_passwords_of(self, name: str, file: str) -> None:
        for password in production.passwords_of(file) if file else ():
            self._hold_password(f"a password in {name}", password)

    def _hold_password(self, name: str, password: str) -> None:
        """Addresses of one database share it: it is no repetition."""
        shared = [what for what, secret in self._secrets if secret == password and what in self._passwords]
        if not shared:
            self._passwords.add(name)
            self._hold(name, password, PASSWORD)

    def _hold(self, name: str, value: str, form: Form) -> None:
        """Nothing is shown of a secret, not even of a weak one."""
        self._own.setdefault(name, set()).add(value)
        if not value or not self.production:
            return
        if weak := production.weakness(value, form):
            self.faults.append(f"{name} {weak}")
        else:
            self._secrets.append((name, value))
