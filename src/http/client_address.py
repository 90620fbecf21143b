"""Finds the client's address and our own address; nothing else reads forwarded headers.

Clients can forge these headers, so they count only from a trusted proxy, and of the addresses only the last one that is
no trusted proxy's (RFC 7239, section 8.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
# ASGI's own: a mapping of anything.
Scope: TypeAlias = MutableMapping[str, Any] | Mapping[str, Any]

USUAL_HOST = re.compile(rb"[A-Za-z0-9.:_-]+")
# The maximum number of proxies in a row.
MAX_HOPS = 32
# Longest form: an address with a zone, in brackets, quoted, with a port.
MAX_NODE_LENGTH = 64
# With or without brackets and port: "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1".
NODE = re.compile(rb"\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[0-9.]+)(?::\d+)?|(?P<bare>[0-9A-Fa-f:.]+(?:%.*)?)")
# The network of one subscriber: its addresses count as one caller.
SUBSCRIBER_BITS = 64


@dataclass(frozen=True, slots=True)
class ClientAddresses:
    """Finds the addresses of clients.

    `trusted` are the proxies' networks, `key` (at most 64 bytes) is the secret of the digests, `public_url` is this
    service's address when it is configured.
    """

    trusted: tuple[Network, ...] = ()
    key: bytes = b""
    public_url: str = ""

    def digest(self, scope: Scope) -> str:
        """A digest that tells callers apart; the address itself is personal data and not stored."""
        found = self._client(scope)
        text = "" if found is None else str(_subscriber(found))
        return hashlib.blake2b(text.encode(), key=self.key, digest_size=16).hexdigest()

    def base_url(self, scope: Scope) -> str:
        """Our address as the caller reaches it, without a final slash; `public_url` if it is set."""
        if self.public_url:
            return self.public_url.rstrip("/")
        scheme, host = str(scope["scheme"]), _last(scope, b"host")
        if self._is_trusted(_peer(scope)):
            told = _last(scope, b"x-forwarded-proto")
            scheme = told.decode() if told in (b"http", b"https") else scheme
            host = _last(scope, b"x-forwarded-host") or host
        usual = host is not None and USUAL_HOST.fullmatch(host)
        return f"{scheme}://{usual[0].decode() if usual else 'localhost'}"

    def _client(self, scope: Scope) -> Address | None:
        peer = _peer(scope)
        if not self._is_trusted(peer):
            return peer
        told = {self._outermost(peer, hops) for hops in (_x_forwarded_for(scope), _forwarded(scope)) if hops}
        # A proxy sets one of the two headers, and may pass on the other one as its client sent it.
        return told.pop() if len(told) == 1 else peer

    def _outermost(self, peer: Address | None, hops: Sequence[Address | None]) -> Address | None:
        """The first untrusted address from the right; if it is unreadable, the proxy that reported it."""
        found = peer
        for hop in hops:
            if hop is None or not self._is_trusted(found):
                break
            found = hop
        return found

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.trusted)


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return _address(str(client[0]).encode()) if client else None


def _subscriber(address: Address) -> Address | Network:
    return address if address.version == 4 else ip_network((address, SUBSCRIBER_BITS), strict=False)  # noqa: PLR2004


def _address(node: bytes) -> Address | None:
    """An address in a proxy's notation, None for other texts (RFC 7239 allows names)."""
    found = NODE.fullmatch(node) if len(node) <= MAX_NODE_LENGTH else None
    if found is None:
        return None
    text = next(part for part in found.groups() if part is not None).partition(b"%")[0]
    try:
        address = ip_address(text.decode())
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _values(scope: Scope, name: bytes) -> Iterator[bytes]:
    """The comma-separated values of all headers of this name, last first."""
    whole = b",".join(value for header, value in scope["headers"] if header == name)
    return (value.strip(b" \t") for value in reversed(whole.rsplit(b",", MAX_HOPS))) if whole else iter(())


def _last(scope: Scope, name: bytes) -> bytes | None:
    return next(_values(scope, name), None)


def _x_forwarded_for(scope: Scope) -> list[Address | None]:
    return [_address(value) for value in _values(scope, b"x-forwarded-for")]


def _forwarded(scope: Scope) -> list[Address | None]:
    """The `for` of each element. Addresses contain no commas, so an open quote hides no later element."""
    return [_for(element) for element in _values(scope, b"forwarded")]


def _for(element: bytes) -> Address | None:
    nodes = [
        value.strip(b' \t"')
        for name, _, value in (pair.partition(b"=") for pair in element.split(b";"))
        if name.strip(b" \t").lower() == b"for"
    ]
    return _address(nodes[0]) if len(nodes) == 1 else None
