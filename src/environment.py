"""The environment, setting by setting: each is declared by the method that reads it, once, with all its faults kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from src import dsn, production
from src.production import OURS, PASSWORD, SHORTEST_SECRET, Form

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
DEVELOPMENT, PRODUCTION = "development", "production"
# What is named so is a secret, unless it is read by one of the methods for other things.
SECRET_NAME = re.compile(r"(?:^|_)(?:SECRETS?|KEYS?|TOKENS?|PASSWORDS?)(?:_|$)")

DATABASE_PASSWORD = "the password in DATABASE_…URL"  # noqa: S105 - how it is called


class SettingsError(Exception):
    """Settings are missing or make no sense; the message names each."""


def is_production(environ: Mapping[str, str]) -> bool:
    """What ECOTRIPS_ENV says. Raises SettingsError for a word that it does not know."""
    given = environ.get("ECOTRIPS_ENV", "")
    if given not in ("", DEVELOPMENT, PRODUCTION):
        message = f"ECOTRIPS_ENV must be {PRODUCTION} or {DEVELOPMENT}, or not set; not {given!r}"
        raise SettingsError(message)
    return given == PRODUCTION


def reach_this_machine_directly(environ: MutableMapping[str, str]) -> None:
    """Let calls to this machine go past a proxy that the environment names; all others go by it.

    Every HTTP library of ours reads NO_PROXY, some the one spelling first, some the other.
    """
    given = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    spared = dict.fromkeys(host.strip() for host in (*given, *THIS_MACHINE) if host.strip())
    environ["no_proxy"] = environ["NO_PROXY"] = "*" if "*" in spared else ",".join(spared)


class Environment:
    """Reads settings. A missing or wrong one gives its default and adds to `faults`; `require_sound` tells them all.

    In production a setting that is `wanted` has to be there, and every setting is held to src/production.py.
    """

    def __init__(self, given: Mapping[str, str], *, production: bool) -> None:
        self.production = production
        self.faults: list[str] = []
        self._given = given
        self._secrets: list[tuple[str, str]] = []

    def text(self, name: str, default: str = "", *, wanted: bool = False) -> str:
        """Words that are no secret and no address. Raises AssertionError for a name that says "secret"."""
        assert not SECRET_NAME.search(name), f"{name} is to be read as a secret"  # noqa: S101 - for who adds a setting
        value = self._wanted(name, wanted=wanted)
        if wanted:
            self._judge(name, value, production.text_fault)
        return value or default

    def path(self, name: str) -> str:
        """A file's path: the secret that it may hold is not in the environment."""
        return self._given.get(name, "")

    def listed(self, name: str, *, wanted: bool = False) -> tuple[str, ...]:
        """Words with commas between them."""
        return _listed(self.text(name, wanted=wanted))

    def public_keys(self, name: str) -> str:
        """A JWKS, or the path of one: what it holds is no secret."""
        value = self._given.get(name, "")
        self._judge(name, value, production.public_keys_fault)
        return value

    def one_of(self, name: str, *values: str) -> str:
        value = self.text(name)
        if value and value not in values:
            self.faults.append(f"{name} must be {' or '.join(values)}, or not set; not {value!r}")
            return ""
        return value

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
        value = self._wanted(name, wanted=wanted, needed=needed)
        self._hold(name, value, form)
        if long_everywhere and not self.production and 0 < len(value) < form.least:
            self.faults.append(f"{name} must have {form.least} characters or more")
        return value

    def secrets(self, name: str, form: Form = OURS, *, wanted: bool = False) -> tuple[str, ...]:
        """Secrets with commas between them: several while one is being rotated."""
        values = self._elements(name, wanted=wanted)
        for value in values:
            self._hold(name, value, form)
        return values

    def keys(self, name: str, *, wanted: bool = False) -> Mapping[str, str]:
        """`id:secret,id:secret`, the first one first. A secret has 32 characters or more."""
        keys: dict[str, str] = {}
        for entry in self._elements(name, wanted=wanted):
            key_id, _, secret = entry.partition(":")
            if not key_id or key_id in keys or len(secret) < SHORTEST_SECRET:
                wrong = (
                    f"{name} must be id:secret,id:secret with different ids and {SHORTEST_SECRET} characters or more"
                )
                self.faults.append(wrong)
            self._hold(name, secret, OURS)
            keys[key_id] = secret
        return keys

    def foreign(self, what: str, secret: str) -> None:
        """A secret that is in use elsewhere: none of ours may be the same."""
        self._secrets.append((what, secret))

    def database(self, name: str, *, needed: bool = False) -> str:
        """A database's address. Its password is a secret that the addresses of one database share."""
        value = self._wanted(name, needed=needed)
        if value and (fault := dsn.fault(value, self._given)):
            self.faults.append(f"{name}: {fault}")
        elif self.production and value:
            address = dsn.Dsn.of(value)
            self.faults += [f"{name} {fault}" for fault in production.database_faults(address, self._given)]
            password = unquote(address.password)
            if (DATABASE_PASSWORD, password) not in self._secrets:
                self._hold(DATABASE_PASSWORD, password, PASSWORD)
        return value

    def address(
        self,
        name: str,
        default: str = "",
        *,
        wanted: bool = False,
        fault: Callable[[str], str | None] = production.public_fault,
    ) -> str:
        """An address that we call or hand out; `fault` says what production has against it."""
        value = self._wanted(name, wanted=wanted)
        self._judge(name, value, fault)
        return value or default

    def origins(self, name: str) -> tuple[str, ...]:
        """Origins with commas between them."""
        origins = _listed(self._given.get(name, "").lower())  # as browsers send them
        for origin in origins:
            self._judge(name, origin, production.origin_fault)
        return origins

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """IP networks with commas between them; one of everybody is none in production."""
        try:
            networks = tuple(map(ip_network, self.listed(name)))
        except ValueError as error:
            self.faults.append(f"{name} must be IP networks such as 10.0.0.0/8,2001:db8::/32: {error}")
            return ()
        if self.production and (fault := production.networks_fault(networks)):
            self.faults.append(f"{name} {fault}")
        return networks

    def number(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit():
            self.faults.append(f"{name} must be a whole number, not {value!r}")
            return default
        return int(value)

    def percent(self, name: str) -> Decimal:
        value = self.text(name, "0")
        try:
            percent = Decimal(value)
        except InvalidOperation:
            percent = Decimal("NaN")
        if percent.is_nan() or not 0 <= percent <= 100:  # noqa: PLR2004 - a percentage
            self.faults.append(f"{name} must be a number from 0 to 100, not {value!r}")
            return Decimal(0)
        return percent

    def timezone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.faults.append(f"{name} must be a time zone such as {default}, not {value!r}")
            return default
        return value

    def switch(self, name: str, *values: str, production: str | None = None) -> str:
        """One of the values (`0` and `1`), the first unless told; `production` is the only one there."""
        values = values or ("0", "1")
        default = production if production is not None and self.production else values[0]
        value = self.text(name, default)
        if value not in values:
            self.faults.append(f"{name} must be {' or '.join(values)}, not {value!r}")
        elif self.production and production is not None and value != production:
            self.faults.append(f"{name}={value} is not allowed in production; it must be {production}")
        return value

    def all_faults(self) -> list[str]:
        stored = self.production and self._given.get("STORAGE_URL", "").startswith("s3://")
        by_libraries = production.store_faults(self._given) if stored else ()
        return [*self.faults, *by_libraries, *production.repetitions(self._secrets)]

    def require_sound(self) -> None:
        """Raises SettingsError with every fault, and never with a secret."""
        found = self.all_faults()
        if found and self.production:
            raise SettingsError("not fit for production:\n  " + "\n  ".join(found))
        if found:
            raise SettingsError("\n".join(found))

    def _wanted(self, name: str, *, wanted: bool = False, needed: bool = False) -> str:
        value = self._given.get(name, "")
        if (needed or (wanted and self.production)) and not value.strip(" ,\t\n"):
            self.faults.append(f"{name} is not set")
            return ""
        return value

    def _judge(self, name: str, value: str, fault: Callable[[str], str | None]) -> None:
        if self.production and value and (found := fault(value)):
            self.faults.append(f"{name} {found}")

    def _elements(self, name: str, *, wanted: bool) -> tuple[str, ...]:
        value = self._wanted(name, wanted=wanted)
        if self.production and value and not all(map(str.strip, value.split(","))):
            self.faults.append(f"{name} has an empty element")
        return _listed(value)

    def _hold(self, name: str, value: str, form: Form) -> None:
        """Nothing is shown of a secret, not even of a weak one."""
        if not value or not self.production:
            return
        if weak := production.weakness(value, form):
            self.faults.append(f"{name} {weak}")
        else:
            self._secrets.append((name, value))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
