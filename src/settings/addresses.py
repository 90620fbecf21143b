"""Which addresses are ours, a provider's or near enough to be called (docs/security.md, Production)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from src.database.dsn import NEAR_NETWORKS, Dsn, is_near
from src.domain.links import is_public_host

CERTAIN_TLS = ("require", "verify-ca", "verify-full")
BLANK = re.compile(r"\s")
TEST_HOST = re.compile(r"https://[^/?#]*\btest\b", re.IGNORECASE)
# Names for examples (RFC 2606, RFC 6761), and services whose names say the address that they lead to.
NOBODYS_HOST = re.compile(
    r"(?:.*\.)?(?:example|example\.(?:com|net|org)|[ns]s?lip\.io|nip\.io|xip\.io|traefik\.me|localtest\.me"
    r"|lvh\.me|vcap\.me|lacolhost\.com|fbi\.com\.cloudns\.cc)"
)
ADDRESS_IN_NAME = re.compile(r"(?<!\d)(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?!\d)")
ORIGIN = re.compile(r"https://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
OLD_TLS = r"SSLv\d|TLSv1(\.[01])?"
# Fewer public addresses than this: every CDN's own published ranges are, and no network of a whole continent is.
MAX_PUBLIC = {4: 2 ** (32 - 8), 6: 2 ** (128 - 16)}
IPV4_IN_IPV6 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
PRIVATE_NETWORKS = (*NEAR_NETWORKS, ip_network("100.64.0.0/10"))


def is_web_address(address: str) -> bool:
    """Whether it is an http or https address at all."""
    parts = split(address)
    return (
        parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and not BLANK.search(address)
    )


def hotelbeds_fault(address: str) -> str | None:
    """Why live prices and rooms do not come from there, as what follows "it"."""
    fault = public_fault(address)
    return "is Hotelbeds' test host" if TEST_HOST.match(address) else fault


def public_fault(address: str) -> str | None:
    """Why an address is none of ours or of a provider on the internet, as what follows "it"."""
    if fault := address_fault(address):
        return fault
    host = urlsplit(address).hostname or ""
    inside = any(not _is_global(".".join(found)) for found in ADDRESS_IN_NAME.findall(host))
    if inside or not is_public_host(host) or NOBODYS_HOST.fullmatch(host):
        return "must name a public host"
    return None


def address_fault(address: str) -> str | None:
    """Why we must not call or hand out an http address, as what follows "it"."""
    parts = split(address)
    if parts is None or parts.scheme != "https" or not parts.hostname or BLANK.search(address):
        return "must be an https address"
    if "@" in parts.netloc:
        return "must not hold credentials"
    if "?" in address or "#" in address:
        return "must end before any ? or #"
    return None


def _is_global(address: str) -> bool:
    with suppress(ValueError):
        return ip_address(address).is_global
    return True


def origin_fault(origin: str) -> str | None:
    """Why pages of an origin must not read answers, as what follows "it"."""
    fault = address_fault(origin)
    return fault or (None if ORIGIN.fullmatch(origin) else "must be an origin, https://host")


def networks_fault(networks: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Why not all of these are our proxies' networks, as what follows "it": what they are together counts."""
    read = [_unmapped(network) for network in networks]
    together: list[IPv4Network | IPv6Network] = [
        *collapse_addresses(network for network in read if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in read if isinstance(network, IPv6Network)),
    ]
    public = [network for network in together if not any(_is_in(network, private) for private in PRIVATE_NETWORKS)]
    sums = {version: sum(found.num_addresses for found in public if found.version == version) for version in MAX_PUBLIC}
    if any(sums[version] >= most for version, most in MAX_PUBLIC.items()):
        return "trusts everybody, or nearly: name the proxies' own networks, of less than a /8 or an IPv6 /16 together"
    return None


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """IPv4 written as IPv6: as much of it as the network has."""
    for mapped in IPV4_IN_IPV6:
        if _is_in(network, mapped):
            return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - mapped.prefixlen))
        if _is_in(mapped, network):
            return ip_network("0.0.0.0/0")
    return network


def _is_in(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type] # the same version


def collector_fault(address: str) -> str | None:
    """Why metrics and traces must not be sent there, as what follows "it"."""
    parts = split(address)
    if parts is not None and parts.scheme == "http" and parts.hostname and not is_near(parts.hostname):
        return "must be an https address: others may listen on the way to its host"
    return None if is_web_address(address) else "must be an http or https address"


def database_faults(address: Dsn, environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a database's address, as what follows "it"; its password is one of the secrets."""
    if address.value("sslkeylogfile"):
        yield "must not say sslkeylogfile: the keys of connections are in it"
    if any(
        re.fullmatch(OLD_TLS, address.value(f"ssl_{end}_protocol_version"), re.IGNORECASE) for end in ("min", "max")
    ):
        yield "must not allow TLS before 1.2"
    mode = address.value("sslmode") or environ.get("PGSSLMODE", "")
    if mode not in CERTAIN_TLS and not address.is_near(environ):
        yield f"must say sslmode={' or '.join(CERTAIN_TLS)}: others may listen on the way to its host"


def split(address: str) -> SplitResult | None:
    """Its parts; None for what is no address."""
    try:
        parts = urlsplit(address)
        parts.hostname  # noqa: B018 - reading them is what finds broken ones
        _ = parts.port if parts.scheme in ("http", "https") else None
    except ValueError:
        return None
    return parts
