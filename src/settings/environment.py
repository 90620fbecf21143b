"""The environment, read by the table of settings, with all its faults kept."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any
from urllib.parse import unquote

from src.database import dsn
from src.edge.errors import SettingsError
from src.settings.addresses import database_faults
from src.settings.kinds import DATABASE, SHARED_PASSWORD, T, another
from src.settings.libraries import library_faults, store_faults
from src.settings.setting import Setting
from src.settings.weakness import PASSWORD, holds, repetitions, weakness


class Environment:
    """Reads settings. A missing or wrong one gives its default and adds to `faults`; `require_sound` tells them all.

    An empty one is not set. In production a setting that is `needed` has to be there, none is of a kind that production
    does not take, and every secret is looked at.
    """

    def __init__(self, given: Mapping[str, str], *, production: bool) -> None:
        self.production = production
        self.declared: dict[str, Setting[Any]] = {}
        self.faults: list[str] = []
        self._given = given
        self._foreign: list[tuple[str, str]] = []
        self._secrets: list[tuple[str, str]] = []
        self._passwords: set[str] = set()
        self._own: dict[str, set[str]] = defaultdict(set)

    def read(self, setting: Setting[T]) -> T:
        self.declared[setting.name] = setting
        value = self._given.get(setting.name, "")
        faults = list(dict.fromkeys(self._against(setting, value)))
        self.faults += faults
        self._hold(setting, value)
        return setting.kind.read(value if value and not faults else self.default(setting))

    def default(self, setting: Setting[Any]) -> str:
        return (self.production and setting.production) or setting.default

    def foreign(self, what: str, secret: str) -> None:
        """A secret that is in use elsewhere: none of ours may be the same."""
        self._foreign.append((what, secret))

    def _against(self, setting: Setting[Any], value: str) -> Iterator[str]:
        name, there = setting.name, setting.production
        needed = setting.needed or (setting.needed_with and self._given.get(setting.needed_with))
        if (setting.everywhere or (self.production and needed)) and not value.strip(" ,\t\n"):
            yield f"{name} is not set"
        elif value:
            against = setting.kind.against(value, production=self.production)
            yield from (f"{name} {fault}" for fault in against if fault)
            if self.production and there and value != there and setting.kind.is_sound(value):
                yield f"{name}={value} is not allowed in production; it must be {there}"
            if setting.needs and not self._given.get(setting.needs):
                yield f"{name} must be set together with {setting.needs}"

    def _hold(self, setting: Setting[Any], value: str) -> None:
        """Nothing is shown of a secret, not even of a weak one."""
        form, held = setting.kind.form, setting.kind.held if self.production and value else None
        for what, secret in filter(itemgetter(1), held(setting.name, value) if held else ()):
            if what in (setting.name, SHARED_PASSWORD):  # else it stands in a file
                self._own[setting.name].add(secret)
            if form is PASSWORD and secret in self._passwords:
                continue  # addresses and files of one database share it
            if weak := weakness(secret, form):
                self.faults.append(f"{what} {weak}")
                continue
            self._secrets.append((what, secret))
            if form is PASSWORD:
                self._passwords.add(secret)

    def require_sound(self) -> None:
        """Raises SettingsError with every fault, and never with a secret."""
        found = self.all_faults()
        if found and self.production:
            raise SettingsError("not fit for production:\n  " + "\n  ".join(found))
        if found:
            raise SettingsError("\n".join(found))

    def all_faults(self) -> list[str]:
        found = [*self.faults, *self._faults_of_databases(), *self._faults_of_key_pair()]
        if not self.production:
            return found
        if self._given.get("STORAGE_URL", "").startswith("s3://"):
            found += store_faults(self._given)
        secrets = [*self._foreign, *self._secrets]
        elsewhere = dict.fromkeys(self._secrets_elsewhere(secrets))
        return [*found, *library_faults(self._given), *repetitions(secrets), *elsewhere]

    def _faults_of_databases(self) -> Iterator[str]:
        # What is wrong with PG… is told once, by its own name.
        told = {fault.split()[0] for fault in self.faults}
        environ = {name: value for name, value in self._given.items() if name not in told}
        for name, setting in self.declared.items():
            if setting.kind is not DATABASE or not environ.get(name):
                continue
            if fault := dsn.fault(environ[name], environ):
                yield f"{name}: {fault}"
            elif self.production:
                address = dsn.Dsn.of(environ[name])
                yield from (f"{name} {fault}" for fault in database_faults(address, self._given))

    def _faults_of_key_pair(self) -> Iterator[str]:
        certificate, key = (self._given.get(name, "") for name in ("HBX_CLIENT_CERT", "HBX_CLIENT_KEY"))
        told = any(fault.startswith("HBX_CLIENT_") for fault in self.faults)
        if not certificate or told or "HBX_CLIENT_CERT" not in self.declared:
            return
        try:
            # Without a password OpenSSL would ask whoever sits at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key or None, password="")
        except (OSError, ValueError):
            must_be = "a file with a certificate (PEM) and its key, or that in HBX_CLIENT_KEY"
            yield f"HBX_CLIENT_CERT {another(must_be, certificate)}"

    def _secrets_elsewhere(self, secrets: list[tuple[str, str]]) -> Iterator[str]:
        """Settings in which a secret stands that is not theirs: what is no secret is shown, logged and sent."""
        for name in self.declared:
            text = unquote(self._given.get(name, ""))
            for own in self._own[name]:
                text = text.replace(own, "").replace(unquote(own), "")
            yield from (f"{name} holds {what}" for what, secret in secrets if text and holds(text, secret))
