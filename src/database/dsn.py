"""Parses database addresses as libpq and asyncpg do, and decides how well the connection is protected."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

# The server proves who it is.
VERIFIED = ("verify-ca", "verify-full")
SYSTEM = "system"
MODES = ("disable", "allow", "prefer", "require", *VERIFIED)
SESSIONS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# Networks that nobody reaches from outside: RFC 1918, RFC 3927, RFC 4193, RFC 4291 and this machine.
NEAR_NETWORKS = tuple(
    map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))
) + tuple(map(ip_network, ("::1/128", "fc00::/7", "fe80::/10")))
NEAR_NAME = re.compile(r"[a-z0-9_-]+|(?:[a-z0-9_-]+\.)+internal", re.IGNORECASE | re.ASCII)
# Host names must be ASCII (xn--), because libraries encode others differently.
HOST_NAME = re.compile(r"[a-z0-9_.-]+", re.IGNORECASE | re.ASCII)
IN_A_URL = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
PORT = re.compile(r"[0-9]{1,5}")
HIGHEST_PORT = 65535
# Parameters by which libpq would connect to another host than asyncpg.
LEADS_ELSEWHERE = ("hostaddr", "service", "servicefile")
LEAD_ELSEWHERE = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
# libpq's parameters (PostgreSQL's manual, "Parameter Key Words"); others are settings of the server, as with asyncpg.
LIBPQ = re.compile(
    "application_name|channel_binding|client_encoding|connect_timeout|dbname|fallback_application_name|gss(delegation"
    "|encmode|lib)|host|hostaddr|keepalives(_count|_idle|_interval)?|krbsrvname|load_balance_hosts|(ssl_)?(max|min)_"
    "protocol_version|options|passfile|port|replication|require_auth|requirepeer|service(file)?|ssl(cert|certmode|compression"
    "|crl|crldir|key|keylogfile|mode|negotiation|rootcert|sni)|target_session_attrs|tcp_user_timeout"
)
# Parameters that older programs lack and can do without, with the first release that has them.
SINCE = {"gssdelegation": 17, "load_balance_hosts": 16, "min_protocol_version": 18, "max_protocol_version": 18}
SINCE |= {"sslkeylogfile": 18, "sslnegotiation": 17}
# Parameters that asyncpg lacks and does not need: timeouts and keep-alives are set by us.
NEEDLESS = re.compile(
    "client_encoding|connect_timeout|fallback_application_name|gss(delegation|encmode)|keepalives(_count|_idle|_interval)?"
    "|load_balance_hosts|(max|min)_protocol_version|ssl(certmode|compression|keylogfile|sni)|tcp_user_timeout"
)
# Parameters that asyncpg does not support; None is any value. The last two protect against a man in the middle, as a
# verified certificate does.
IMPOSSIBLE = {
    "gssencmode": "require",
    "requirepeer": None,
    "sslcertmode": "require",
    "sslcrldir": None,
}
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
INSTEAD_OF_A_NAME = {"channel_binding": "require", "require_auth": None}


class Host(NamedTuple):
    """A server's name, address or folder of its socket, decoded, and its port; empty where missing."""

    name: str
    port: str

    def __str__(self) -> str:
        name = f"[{quote(self.name, safe=':')}]" if ":" in self.name else quote(self.name, safe="")
        return name + (f":{self.port}" if self.port else "")


class Dsn(NamedTuple):
    """A PostgreSQL URI in its parts, percent-encoded so that all parsers agree.

    Missing parts are empty. `hosts` holds hosts and ports from any place in the URI.
    """

    scheme: str
    user: str
    password: str
    hosts: tuple[Host, ...]
    path: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Dsn:
        """Raises ValueError for an invalid URI and for a hidden password, without quoting the text."""
        scheme, _, rest = text.partition("://")
        if scheme not in ("postgresql", "postgres"):
            message = "a database's URL must begin with postgresql://"
            raise ValueError(message)
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        login, at, hosts = authority.rpartition("@")
        if "@" in path or ("@" in query and not at):
            message = "a database's URL has an @ behind its host: in a password / is written %2F, ? %3F and @ %40"
            raise ValueError(message)
        user, _, password = login.partition(":")
        written = (parameter.partition("=") for parameter in query.split("&") if parameter)
        given = {_name(unquote(name)): value for name, _, value in written}
        # Parameters override the other parts, as in libpq. Only there some letters need no encoding.
        user, password, path = (
            quote(unquote(given.pop(name, before)), safe="")
            for name, before in (("user", user), ("password", password), ("", path))
        )
        named = unquote(given.pop("host", ""))
        ports = _ports(unquote(given.get("port", "")))
        found = _with_ports(_named(named) if named else _in_url(hosts), ports)
        if found:
            given.pop("port", None)
        if found and not found[0].name:  # only a port
            given, found = {**given, "port": found[0].port}, ()
        return cls(scheme, user, password, found, path, given)

    def __str__(self) -> str:
        login = self.user + (f":{self.password}" if self.password else "")
        query = "&".join(f"{name}={value}" for name, value in self.parameters.items())
        hosts = ",".join(map(str, self.hosts))
        authority = f"{login}@{hosts}" if login else hosts
        return f"{self.scheme}://{authority}/{self.path}" + (f"?{query}" if query else "")

    def value(self, name: str) -> str:
        """A parameter's decoded value."""
        return unquote(self.parameters.get(name, ""))

    def with_values(self, values: Mapping[str, str]) -> Dsn:
        """A copy with these parameters added."""
        return self._replace(parameters={**self.parameters, **{name: _encoded(text) for name, text in values.items()}})

    def is_near(self, environ: Mapping[str, str]) -> bool:
        """Whether all hosts are sockets, this machine, its containers, or in a private network."""
        return all(is_near(host.name) for host in self.hosts or _named(environ.get("PGHOST", "")))

    def verified(self, environ: Mapping[str, str]) -> Dsn:
        """With what libpq leaves to its defaults: a server that is not near has to prove who it is.

        Without sslmode it may not be somebody else (verify-full), where libpq would go on in plain text. Without
        sslrootcert and ~/.postgresql/root.crt it is vouched for by whom this machine trusts, as by sslrootcert=system.
        Raises ValueError.
        """
        if elsewhere := next((name for name in LEADS_ELSEWHERE if self.value(name)), None):
            message = f"{elsewhere} is nothing that the service can do: name the host in the URL"
            raise ValueError(message)
        _ports(environ.get("PGPORT", ""))
        root = self.value("sslrootcert") or environ.get("PGSSLROOTCERT", "")
        mode = self.value("sslmode") or environ.get("PGSSLMODE", "")
        if mode not in ("", *MODES):
            message = f"sslmode must be one of {', '.join(MODES)}"
            raise ValueError(message)
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
            message = f"{name}{f'={value}' if value else ''} is nothing that the service can do{instead}"
            raise ValueError(message)
    kept = {
        name: _encoded(given.value(name))
        for name, text in given.parameters.items()
        if text and name not in INSTEAD_OF_A_NAME and not NEEDLESS.fullmatch(name)
    }
    return str(given._replace(parameters=kept))


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
    """Why the DSN is invalid, None when it is valid."""
    try:
        given = Dsn.of(for_asyncpg(dsn, environ))
    except ValueError as error:
        return str(error)
    if given.value("target_session_attrs") not in ("", *SESSIONS):
        return f"target_session_attrs must be one of {', '.join(SESSIONS)}"
    files = FILES if given.value("sslmode") in ("require", *VERIFIED) else ()
    found = ((name, fault_of_file(given.value(name))) for name in files if given.value(name))
    return next((f"{name} {why}" for name, why in found if why), None)


def fault_of_file(name: str) -> str | None:
    """Why this user cannot read a file that a setting names, as what follows the setting's name."""
    try:
        with Path(name).open("rb"):
            return None
    except PermissionError:
        return f"names a file that this user may not read ({name})"
    except (OSError, ValueError):
        return "names no file"


def is_near(host: str) -> bool:
    """Whether the host is a socket, this machine, a container on it, or in a private network."""
    if host.startswith("/") or not host:
        return True
    address = _address(host)
    return NEAR_NAME.fullmatch(host) is not None if address is None else any(address in net for net in NEAR_NETWORKS)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that the system reads from a host without asking DNS: one to four numbers in any base."""
    try:
        address = ip_address(host) if ":" in host else IPv4Address(socket.inet_aton(host))
    except (ValueError, OSError):
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _in_url(text: str) -> Iterator[Host]:
    for host in text.split(",") if text else ():
        found = IN_A_URL.fullmatch(host)
        yield _host(unquote(found[1].strip("[]")), *_ports(unquote(found[2] or ""))) if found else _host("[")


def _named(text: str) -> Iterator[Host]:
    return map(_host, text.split(",") if text else ())


def _host(name: str, port: str = "") -> Host:
    if name.startswith("/"):
        known = name.isprintable()
    else:
        known = not name or (HOST_NAME.fullmatch(name) if ":" not in name else _address(name)) is not None
    if not known:
        message = "a host of the database's URL or of PGHOST is none: a name or an address in ASCII letters"
        raise ValueError(message)
    return Host(name, port)


def _with_ports(hosts: Iterator[Host], given: list[str]) -> tuple[Host, ...]:
    """Pairs hosts with the ports of a parameter: one for all, or one each."""
    found = tuple(hosts)
    ports = given * len(found) if len(given) == 1 else given or [host.port for host in found]
    if len(ports) != len(found) or (len(found) > 1 and not all(host.name for host in found)):
        message = "a database's URL must give each of several hosts a name, and one port to all or to each"
        raise ValueError(message)
    return tuple(Host(host.name, port) for host, port in zip(found, ports, strict=True))


def _ports(text: str) -> list[str]:
    ports = text.split(",") if text else []
    if not all(PORT.fullmatch(port) and 0 < int(port) <= HIGHEST_PORT for port in ports):
        message = f"a port of the database's URL or of PGPORT is no number from 1 to {HIGHEST_PORT}"
        raise ValueError(message + " (in a password / is written %2F, ? %3F and @ %40)")
    return ports


def _name(name: str) -> str:
    """A parameter's name. Unknown names are settings of the server, which everybody can read."""
    if not SETTING.fullmatch(name) or ("password" in name.lower() and name not in ("password", "sslpassword")):
        message = "a parameter of the database's URL is no name of a setting (a password goes before the @)"
        raise ValueError(message)
    return name


def _trusted_by_this_machine() -> str:
    """The file of this machine's CA certificates."""
    found: str | None = ssl.get_default_verify_paths().cafile
    if found is None:
        message = "this machine trusts nobody to vouch for servers: name the certificate in sslrootcert"
        raise ValueError(message)
    return found


def _encoded(text: str) -> str:
    return quote(text, safe="/,:")
