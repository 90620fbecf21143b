"""Addresses of databases: what libpq and asyncpg each make of one, and how sure the way to its server has to be."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

# The server proves who it is.
VERIFIED = ("verify-ca", "verify-full")
SYSTEM = "system"
# What libpq knows (PostgreSQL's manual, "Parameter Key Words"); anything else is one of the server's settings, as it is
# with asyncpg.
LIBPQ = re.compile(
    "application_name|channel_binding|client_encoding|connect_timeout|dbname|fallback_application_name|gss(delegation"
    "|encmode|lib)|host|hostaddr|keepalives(_count|_idle|_interval)?|krbsrvname|load_balance_hosts|(ssl_)?(max|min)_"
    "protocol_version|options|passfile|port|replication|require_auth|requirepeer|service|ssl(cert|certmode|compression"
    "|crl|crldir|key|keylogfile|mode|negotiation|rootcert|sni)|target_session_attrs|tcp_user_timeout"
)
# What the programs of older releases do not know and can do without, by the first that does.
SINCE = {"gssdelegation": 17, "load_balance_hosts": 16, "min_protocol_version": 18, "max_protocol_version": 18}
SINCE |= {"sslkeylogfile": 18, "sslnegotiation": 17}
# What asyncpg has no word for and needs none: time-outs and keep-alives are ours.
NEEDLESS = re.compile(
    "client_encoding|connect_timeout|fallback_application_name|gss(delegation|encmode)|keepalives(_count|_idle|_interval)?"
    "|load_balance_hosts|(max|min)_protocol_version|ssl(certmode|compression|keylogfile|sni)|tcp_user_timeout"
)
# What asyncpg cannot do; None is any value. The two of the second kind keep a connection from somebody in between, as a
# verified certificate with the server's name does.
IMPOSSIBLE = {
    "gssencmode": "require",
    "hostaddr": None,
    "requirepeer": None,
    "sslcertmode": "require",
    "sslcrldir": None,
}
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
INSTEAD_OF_A_NAME = {"channel_binding": "require", "require_auth": None}


class Dsn(NamedTuple):
    """A URI of PostgreSQL in its parts, as they are written: percent-encoded, or empty where missing."""

    scheme: str
    user: str
    password: str
    hosts: str
    path: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Dsn:
        """Raises ValueError for other forms than a URI, and for a parameter whose name is none or hides a password."""
        scheme, _, rest = text.partition("://")
        if scheme not in ("postgresql", "postgres"):
            message = "a database's URL must begin with postgresql://"
            raise ValueError(message)
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        login, _, hosts = authority.rpartition("@")
        user, _, password = login.partition(":")
        written = (parameter.partition("=") for parameter in query.split("&") if parameter)
        given = {_name(unquote(name)): value for name, _, value in written}
        # What stands behind the question mark counts, as for libpq. There are letters that need no encoding only there.
        user, password = (
            quote(unquote(given.pop(name)), safe="") if name in given else before
            for name, before in (("user", user), ("password", password))
        )
        return cls(scheme, user, password, "" if given.get("host") else hosts, path, given)

    def __str__(self) -> str:
        login = self.user + (f":{self.password}" if self.password else "")
        query = "&".join(f"{name}={value}" for name, value in self.parameters.items())
        authority = f"{login}@{self.hosts}" if login else self.hosts
        return f"{self.scheme}://{authority}/{self.path}" + (f"?{query}" if query else "")

    def value(self, name: str) -> str:
        """A parameter's decoded value."""
        return unquote(self.parameters.get(name, ""))

    def with_values(self, values: Mapping[str, str]) -> Dsn:
        """With these parameters besides."""
        return self._replace(parameters={**self.parameters, **{name: _encoded(text) for name, text in values.items()}})

    def is_near(self, environ: Mapping[str, str]) -> bool:
        """Whether all its hosts are: sockets, this machine, containers beside it, or in a private network."""
        named = [_without_port(host) for host in unquote(self.hosts).split(",") if host]
        hosts = named or [host for host in self.value("host").split(",") if host]
        return all(map(is_near, hosts or environ.get("PGHOST", "").split(",")))

    def verified(self, environ: Mapping[str, str]) -> Dsn:
        """With what libpq leaves to its defaults: a server that is not near has to prove who it is.

        Without sslmode it may not be somebody else (verify-full), where libpq would go on in plain text. Without
        sslrootcert and ~/.postgresql/root.crt it is vouched for by whom this machine trusts, as by sslrootcert=system.
        Raises ValueError.
        """
        root = self.value("sslrootcert") or environ.get("PGSSLROOTCERT", "")
        mode = self.value("sslmode") or environ.get("PGSSLMODE", "")
        if not mode and (root == SYSTEM or not self.is_near(environ)):
            mode = "verify-full"
        if root == SYSTEM and mode != "verify-full":
            message = f"sslrootcert=system is worth nothing with sslmode={mode}: anybody has a certificate of some name"
            raise ValueError(message)
        if mode in VERIFIED and root in ("", SYSTEM):
            own = Path.home() / ".postgresql" / "root.crt"
            root = str(own) if not root and own.is_file() else _trusted_by_this_machine()
        found = {"sslmode": mode, "sslrootcert": root}
        return self.with_values({name: text for name, text in found.items() if text})


def for_asyncpg(dsn: str, environ: Mapping[str, str] = os.environ) -> str:
    """The DSN as asyncpg reads it. Raises ValueError for what it demands and asyncpg cannot do."""
    given = Dsn.of(dsn).verified(environ)
    proved = given.value("sslmode") == "verify-full"
    for name, value in {**IMPOSSIBLE, **INSTEAD_OF_A_NAME}.items():
        found = given.value(name)
        if found and value in (None, found) and not (proved and name in INSTEAD_OF_A_NAME):
            instead = ": say sslmode=verify-full instead" if name in INSTEAD_OF_A_NAME else ""
            message = f"{name}={found} is nothing that the service can do{instead}"
            raise ValueError(message)
    kept = {
        name: _encoded(given.value(name))
        for name, text in given.parameters.items()
        if text and name not in INSTEAD_OF_A_NAME and not NEEDLESS.fullmatch(name)
    }
    user, password = (quote(unquote(text), safe="") for text in (given.user, given.password))
    return str(given._replace(user=user, password=password, parameters=kept))


def for_libpq(
    dsn: str, environ: Mapping[str, str] = os.environ, version: int | None = None
) -> tuple[str, Mapping[str, str]]:
    """The DSN as an argument that everybody on the machine may see, and the environment with its password.

    `version` is the major one of the program. Raises ValueError for a password that PostgreSQL's programs take as an
    argument alone.
    """
    given = Dsn.of(dsn).verified(environ)
    if "sslpassword" in given.parameters:
        message = "sslpassword of the URL would stand in the process list: use a client key without a password"
        raise ValueError(message)
    known, options = {}, [given.value("options")] if given.value("options") else []
    for name, text in given.parameters.items():
        if name == "database":
            known["dbname"] = text
        elif not LIBPQ.fullmatch(name):
            value = unquote(text).replace("\\", "\\\\").replace(" ", "\\ ")
            options.append(f"-c {name}={value}")
        elif version is None or version >= SINCE.get(name, 0):
            known[name] = text
    if options:
        known["options"] = _encoded(" ".join(options))
    shown = str(given._replace(password="", parameters=known))
    return shown, {"PGPASSWORD": unquote(given.password)} if given.password else {}


def fault(dsn: str, environ: Mapping[str, str]) -> str | None:
    """Why the DSN cannot be used, None when it can."""
    try:
        for_asyncpg(dsn, environ)
    except ValueError as error:
        return str(error)
    return None


def is_near(host: str) -> bool:
    """A socket, this machine, a container beside it, or a private network's address."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.startswith("/") or host.endswith(".internal")
    return address.is_private or address.is_loopback


def _name(name: str) -> str:
    """A parameter's name. One that neither libpq nor asyncpg knows is a setting of the server, which everybody sees."""
    if not SETTING.fullmatch(name) or ("password" in name.lower() and name not in ("password", "sslpassword")):
        message = "a parameter of the database's URL is no name of a setting (a password goes before the @)"
        raise ValueError(message)
    return name


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _trusted_by_this_machine() -> str:
    """The file with the certificates of whom this machine trusts."""
    found: str | None = ssl.get_default_verify_paths().cafile
    if found is None:
        message = "this machine trusts nobody to vouch for servers: name the certificate in sslrootcert"
        raise ValueError(message)
    return found


def _encoded(text: str) -> str:
    return quote(text, safe="/,:")
