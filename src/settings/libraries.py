"""What libraries read from the environment by themselves, and would do less safely (docs/security.md, Production)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping

from src.database.dsn import is_near
from src.settings.addresses import OLD_TLS, address_fault, split

# What the library of S3 reads from the environment by itself. The addresses that the platforms give credentials at are
# their own, by http: nobody is in between.
STORE_ADDRESSES = (
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_STS_ENDPOINT",
)
CREDENTIALS_ADDRESSES = ("AWS_METADATA_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
# Made part of an address, where anything else would lead to another host.
STORE_PARTS = {
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": (re.compile(r"/[^?#@\s]*"), "must be a path: /…"),
    "AWS_REGION": (re.compile("[a-z0-9-]+"), "must be a region's name"),
    "AWS_DEFAULT_REGION": (re.compile("[a-z0-9-]+"), "must be a region's name"),
}
PLATFORMS = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd00:ec2::254")
STORE_WEAKENED = (
    *("AWS_ALLOW_HTTP", "AWS_ALLOW_INVALID_CERTIFICATES", "AWS_SKIP_SIGNATURE", "AWS_UNSIGNED_PAYLOAD"),
    *("AWS_IMDSV1_FALLBACK", "AWS_PROXY_URL", "AWS_PROXY_CA_CERTIFICATE", "AWS_ROOT_CERTIFICATE"),
)
# What else libraries read, the values that weaken a service, and how: names of TLS, psql, Python, Litestar and Stripe.
OLD_TLS_ALLOWED = "TLS before 1.2 can be listened to"
WEAKENED: Mapping[str, tuple[str, str]] = {
    "SSLKEYLOGFILE": (".+", "the keys of all TLS connections would be written to it"),
    "PGSSLMINPROTOCOLVERSION": (OLD_TLS, OLD_TLS_ALLOWED),
    "PGSSLMAXPROTOCOLVERSION": (OLD_TLS, OLD_TLS_ALLOWED),
    "PYTHONHASHSEED": ("[0-9]+", "whoever knows it makes any table slow"),
    "PYTHONINTMAXSTRDIGITS": (r"0|\d{5,}", "a long number takes seconds to read"),
    "PYTHONASYNCIODEBUG": (".+", "what is called with which values would be logged"),
    "PYTHONDEVMODE": (".+", "what is called with which values would be logged"),
    "PYTHONINSPECT": (".+", "a process would end in a prompt"),
    "LITESTAR_DEBUG": ("1", "answers would show the code that failed"),
    "LITESTAR_PDB": ("1", "a request that fails would stop the process"),
    "STRIPE_LOG": (".+", "what Stripe is told of people would be logged"),
}
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
COLLECTORS = tuple(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT" for kind in ("", "TRACES_", "METRICS_"))
OFF = ("0", "false", "off", "no", "n")


def store_faults(environ: Mapping[str, str]) -> Iterator[str]:
    """What of the AWS_* names would send files in plain text, unsigned, or to whom nobody vouches for."""
    for name, value in environ.items():
        if not name.startswith("AWS_"):
            continue
        if name != name.upper():
            yield f"{name} must be written in capital letters"
        elif name in STORE_WEAKENED and value.lower() not in OFF:
            yield f"{name} is not allowed in production: files go by https, signed"
        elif name in STORE_PARTS and value and not STORE_PARTS[name][0].fullmatch(value):
            yield f"{name} {STORE_PARTS[name][1]}"
        elif name in CREDENTIALS_ADDRESSES and _is_platforms(value):
            continue
        elif name in (*STORE_ADDRESSES, *CREDENTIALS_ADDRESSES) and (fault := address_fault(value)):
            yield f"{name} {fault}"


def _is_platforms(address: str) -> bool:
    parts = split(address)
    return parts is not None and parts.hostname in PLATFORMS and "@" not in parts.netloc


def reach_this_machine_directly(environ: MutableMapping[str, str]) -> None:
    """Let calls to this machine go past a proxy that the environment names; all others go by it.

    So do those that go in plain text because nobody is in between: to the addresses at which platforms give
    credentials, and to collectors that are near.

    Every HTTP library of ours reads NO_PROXY, some the one spelling first, some the other.
    """
    given = ",".join(environ.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    near = (*THIS_MACHINE, *PLATFORMS, *_near_collectors(environ))
    spared = dict.fromkeys(host.strip() for host in (*given, *near) if host.strip())
    environ["no_proxy"] = environ["NO_PROXY"] = "*" if "*" in spared else ",".join(spared)


def _near_collectors(environ: Mapping[str, str]) -> Iterator[str]:
    """The hosts of collectors that are called past every proxy."""
    for name in COLLECTORS:
        parts = split(environ.get(name, ""))
        if parts is not None and parts.hostname and is_near(parts.hostname):
            yield parts.hostname


def library_faults(environ: Mapping[str, str]) -> Iterator[str]:
    """What libraries would do for names that they read by themselves, as left over from a search for a fault."""
    for name, (values, what) in WEAKENED.items():
        if re.fullmatch(values, environ.get(name, ""), re.IGNORECASE):
            yield f"{name} is not allowed in production: {what}"
