"""Who a request is from when proxies stand between, whatever its headers say."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from src.edge.errors import SettingsError
from src.http.client_address import ClientAddresses
from src.settings import from_environment

PROXY, OTHER_PROXY, CALLER, STRANGER = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.9"
ADDRESSES = ClientAddresses((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), b"key")
Headers = list[tuple[str, str]]


def scope(peer: str | None, headers: Headers | None = None) -> dict[str, object]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers or []]
    return {"client": None if peer is None else (peer, 4711), "scheme": "http", "headers": raw}


def digest(peer: str | None, *headers: tuple[str, str]) -> str:
    return ADDRESSES.digest(scope(peer, list(headers)))


def same(one: str, *headers: tuple[str, str], peer: str = PROXY) -> bool:
    """Whether a request by `peer` with these headers counts as one of `one` itself."""
    return digest(peer, *headers) == digest(one)


def test_what_a_stranger_says_of_itself_does_not_count() -> None:
    assert same(STRANGER, ("X-Forwarded-For", CALLER), peer=STRANGER)
    assert same(STRANGER, ("Forwarded", f"for={CALLER}"), peer=STRANGER)
    nobody = ClientAddresses()
    assert nobody.digest(scope(PROXY, [("X-Forwarded-For", CALLER)])) == nobody.digest(scope(PROXY))


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", CALLER)],
        [("X-Forwarded-For", f"{CALLER}:55123")],
        [("X-Forwarded-For", f"{CALLER} , {OTHER_PROXY}")],
        [("X-Forwarded-For", CALLER), ("X-Forwarded-For", OTHER_PROXY)],
        [("X-Forwarded-For", f"{STRANGER}, {CALLER}")],
        [("X-Forwarded-For", f"{STRANGER}, {CALLER}, {OTHER_PROXY}, fd00::5")],
        [("X-Forwarded-For", f"garbage, \x80, {CALLER}")],
        [("X-Forwarded-For", "1.1.1.1," * 10_000 + CALLER)],
        [("X-Forwarded-For", f"::ffff:{CALLER}")],
        [("Forwarded", f"for={CALLER};proto=https;by={PROXY}")],
        [("Forwarded", f'FOR="{CALLER}:4711"')],
        [("Forwarded", f'for="unended, for={CALLER}')],
        [("Forwarded", f"for={STRANGER}, for={CALLER}, for=10.9.9.9")],
        [("Forwarded", f"for={CALLER}"), ("X-Forwarded-For", CALLER)],
    ],
)
def test_the_last_address_that_no_trusted_proxy_has_is_the_callers(headers: Headers) -> None:
    assert same(CALLER, *headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Forwarded-For", "")],
        [("X-Forwarded-For", f"{CALLER}, unknown")],
        [("X-Forwarded-For", f"{CALLER}, 999.1.1.1")],
        [("X-Forwarded-For", f"{CALLER}, " + "1" * 100)],
        [("X-Forwarded-For", f"{CALLER}, 1.1.1.1 2.2.2.2")],
        [("Forwarded", f"for={CALLER}, for=_hidden")],
        [("Forwarded", f"for={CALLER};for={STRANGER}")],
        [("Forwarded", "proto=https")],
        # A proxy that writes one of them and hands on the other as it came.
        [("Forwarded", f"for={CALLER}"), ("X-Forwarded-For", STRANGER)],
    ],
)
def test_what_a_proxy_does_not_say_in_words_that_can_be_read_is_its_own(headers: Headers) -> None:
    assert same(PROXY, *headers)


def test_behind_a_proxy_that_names_nobody_the_one_before_it_counts() -> None:
    assert same(OTHER_PROXY, ("X-Forwarded-For", f"{CALLER}, unknown, {OTHER_PROXY}"))


def test_a_subscriber_of_ipv6_is_one_caller_and_their_neighbour_another() -> None:
    one, also, neighbour = "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"
    assert digest(one) == digest(also) != digest(neighbour)
    assert same(one, ("X-Forwarded-For", f"[{also}]:443"))
    assert same(one, ("Forwarded", f'for="[{also}]"'))
    assert same(one, ("X-Forwarded-For", f"{also}"))
    assert digest("::ffff:203.0.113.7") == digest(CALLER)
    assert digest("fe80::1%eth0") == digest("fe80::1")


def test_an_address_cannot_be_found_from_what_is_kept() -> None:
    kept = digest(CALLER)
    assert CALLER not in kept
    assert kept != ClientAddresses(key=b"another").digest(scope(CALLER))
    assert digest(None) != kept


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        (STRANGER, [("Host", "api.example:8000")], "http://api.example:8000"),
        (STRANGER, [("Host", "api.example"), ("X-Forwarded-Proto", "https")], "http://api.example"),
        (STRANGER, [("Host", "api.example"), ("X-Forwarded-Host", "evil.example")], "http://api.example"),
        (STRANGER, [("Host", "evil.example/path?")], "http://localhost"),
        (STRANGER, [], "http://localhost"),
        (PROXY, [("Host", "10.0.0.7"), ("X-Forwarded-Proto", "https")], "https://10.0.0.7"),
        (PROXY, [("Host", "10.0.0.7"), ("X-Forwarded-Host", "api.example")], "http://api.example"),
        (PROXY, [("Host", "10.0.0.7"), ("X-Forwarded-Host", "evil.example, api.example")], "http://api.example"),
        (PROXY, [("Host", "10.0.0.7"), ("X-Forwarded-Proto", "javascript")], "http://10.0.0.7"),
    ],
)
def test_our_own_address_is_the_hosts_or_a_trusted_proxys_word(peer: str, headers: Headers, address: str) -> None:
    assert ADDRESSES.base_url(scope(peer, headers)) == address
    fixed = ClientAddresses(ADDRESSES.trusted, public_url="https://ops.example/")
    assert fixed.base_url(scope(peer, headers)) == "https://ops.example"


def test_trusted_proxies_are_networks_or_the_service_does_not_start() -> None:
    given = {"JWT_SECRET": "s" * 32, "DATABASE_URL": "postgresql://x"}
    assert from_environment(given).trusted_proxies == ()
    told = from_environment(given | {"TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1"})
    assert told.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"))
    for wrong in ("10.0.0.1/8", "proxy.example", "10.0.0.0/33", "*"):
        with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
            from_environment(given | {"TRUSTED_PROXIES": wrong})
