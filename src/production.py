"""What production does not start with (docs/security.md, Production): a rule for all secrets, one for all addresses."""

from __future__ import annotations

import binascii
import hashlib
import math
import re
import stat
from array import array
from base64 import b32decode, b64decode
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import UUID

from src.database.dsn import NEAR_NETWORKS, Dsn, is_near
from src.domain.links import is_public_host

PUBLISHED = Path(__file__).with_name("published_secrets.txt")
MIN_SECRET_LENGTH = 32
CERTAIN_TLS = ("require", "verify-ca", "verify-full")
TEST_KEY = re.compile(r"[a-z]+_test_")
TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
PLACEHOLDER = re.compile(r"your[-_]|change[-_]?me|example|placeholder|x{3}|[<>]", re.IGNORECASE)
BLANK = re.compile(r"\s")
TEST_HOST = re.compile(r"https://[^/?#]*\btest\b", re.IGNORECASE)
# Names for examples (RFC 2606, RFC 6761), and services whose names say the address that they lead to.
NOBODYS_HOST = re.compile(
    r"(?:.*\.)?(?:example|example\.(?:com|net|org)|[ns]s?lip\.io|nip\.io|xip\.io|traefik\.me|localtest\.me"
    r"|lvh\.me|vcap\.me|lacolhost\.com|fbi\.com\.cloudns\.cc)"
)
ADDRESS_IN_NAME = re.compile(r"(?<!\d)(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?!\d)")
ORIGIN = re.compile(r"https://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
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
PLACE = {
    "memory": re.compile("memory://"),
    "s3": re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](?:/[^?#@\s]*)?"),
    "file": re.compile(r"file:///[^?#]*[^?#/.][^?#]*"),
}
# What the system empties by itself: files there do not last.
SWEPT = ("/tmp", "/var/tmp", "/dev", "/run", "/var/run", "/proc", "/sys")  # noqa: S108 - nothing is put there
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "proc", "sysfs")
# What else libraries read, the values that weaken a service, and how: names of TLS, psql, Python, Litestar and Stripe.
OLD_TLS = r"SSLv\d|TLSv1(\.[01])?"
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
COLLECTORS = tuple(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT" for kind in ("", "TRACES_", "METRICS_"))
PASSWORD_LINE = re.compile(r"(?:(?:[^:\\]|\\.)*:){4}((?:[^\\]|\\.)*)")
OFF = ("0", "false", "off", "no", "n")
# Fewer public addresses than this: every CDN's own published ranges are, and no network of a whole continent is.
MAX_PUBLIC = {4: 2 ** (32 - 8), 6: 2 ** (128 - 16)}
IPV4_IN_IPV6 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
PRIVATE_NETWORKS = (*NEAR_NETWORKS, ip_network("100.64.0.0/10"))
DIGESTS = (
    *(hashlib.md5, hashlib.sha1, hashlib.sha224, hashlib.sha256, hashlib.sha384, hashlib.sha512),
    *(hashlib.sha3_256, hashlib.blake2b, hashlib.blake2s),
)
# Of the longest ones people take a half.
HALF = 32
DIGEST_BYTES = 8
COMMON_WORDS = 10_000
UUID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RANDOM_UUID = 4
SEPARATORS = re.compile(r"[\W_]+")
SHORT_PREFIX = re.compile(r"[A-Za-z]{1,12}([\W_]+)")
# What may be a secret in a longer text.
LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
ALPHABETS = ((re.compile("[a-z]"), 26), (re.compile("[A-Z]"), 26), (re.compile("[0-9]"), 10))
# How much of its letters' own chance a random secret has at least, by zxcvbn's reading; what people make up has less.
MIN_CHANCE, MIN_CHANCE_OF_SHORT = 0.6, 0.5
AT_A_TIME = 40  # letters: zxcvbn takes more than in proportion
WORD_BREAKS = str.maketrans("_ ", "--")


class Form(NamedTuple):
    """What a kind of secret looks like: at least `least` characters behind one of the prefixes."""

    least: int = MIN_SECRET_LENGTH
    prefixes: tuple[str, ...] = ("",)


OURS = Form()
PASSWORD = Form(12)


def weakness(secret: str, form: Form = OURS) -> str | None:
    """Why somebody might guess or know the secret, as what follows "it"; None when nobody might.

    A random secret has many different letters, many different steps between letters whatever their distance, and mostly
    runs of three letters that stand neither twice in it nor in what is published. One that repeats, counts or is made
    of known words lacks one of the three. zxcvbn finds other words, names, dates and walks on a keyboard. A known
    word's digest is looked up, and a UUID has to be of the random kind.
    """
    return next(_weaknesses(secret, form), None)


def _weaknesses(secret: str, form: Form) -> Iterator[str]:
    if not secret.isprintable() or secret != secret.strip():
        yield "has blanks at its ends or characters that cannot be seen"
    if TEST_KEY.match(secret):
        yield "is a test key"
    prefix = next((prefix for prefix in form.prefixes if secret.startswith(prefix)), None)
    if prefix is None:
        yield f"does not begin with {' or '.join(form.prefixes)}"
    body = secret.removeprefix(prefix or "")
    if len(body) < form.least:
        yield f"is shorter than {form.least} characters" + (f" behind {prefix}" if prefix else "")
    if TOKEN.fullmatch(body):
        yield "is a token, which its bearers know"
    if any(_is_guessable(text, form.least) for text in (body, *_encoded_in(body))):
        yield "is a placeholder, published, or follows a pattern"


def _is_guessable(secret: str, least: int) -> bool:
    letters, length = secret.lower(), max(least, len(secret))
    few, own = min(max(4, length // 4), 8), len(_runs(letters) - _published())
    varied = all(len(_steps(letters, by)) >= min(few, (length - by) // 3) for by in range(1, length // 2 + 1))
    patterned = not varied or len(set(letters)) < few or own < length // 2 - 2
    return patterned or _is_made_up(secret, least) or _is_digest(secret)


def _is_made_up(secret: str, least: int) -> bool:
    found = UUID_FORM.search(secret.lower())
    if found and (UUID(found[0]).version != RANDOM_UUID or found[0] in _examples()):
        return True
    return _chance(secret) < (MIN_CHANCE if least >= MIN_SECRET_LENGTH else MIN_CHANCE_OF_SHORT)


@lru_cache(maxsize=64)  # one process reads its settings more than once
def _chance(secret: str) -> float:
    """How many guesses the secret takes by zxcvbn's reading, of those that random letters would take: in bits."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its words take a moment and memory, and only production asks

    letters = SEPARATORS.sub("", secret) or secret
    hexadecimal = 10 if letters.isdigit() else 16 if HEX.fullmatch(letters) else 0
    one = math.log2(hexadecimal or sum(size for among, size in ALPHABETS if among.search(letters)) or 32)
    bits = 0.0
    for at in range(0, len(letters), AT_A_TIME):
        for found in zxcvbn(letters[at : at + AT_A_TIME], user_inputs=_words())["sequence"]:
            random = len(found["token"]) * one
            bits += random if found["pattern"] == "bruteforce" else min(random, math.log2(float(found["guesses"])))
    return bits / (len(letters) * one)


def _is_digest(secret: str) -> bool:
    """Whether it begins as a usual digest of a common word does, or its second half, in hex, base64 or base32."""
    for decoded in {decoded for body in _bodies(secret) for decoded in _decoded(body)}:
        if len(decoded) >= DIGEST_BYTES:
            begin = int.from_bytes(decoded[:DIGEST_BYTES], "big")
            at = bisect_left(_digests(), begin)
            if at < len(_digests()) and _digests()[at] == begin:
                return True
    return False


def _steps(letters: str, by: int) -> set[int]:
    """How far letters lie from those that stand so many places before them."""
    return {ord(after) - ord(before) for before, after in zip(letters, letters[by:], strict=False)}


def _encoded_in(secret: str) -> Iterator[str]:
    """The text that the secret is in base64 or in hex, if it is one that people write."""
    for decoded in _decoded(secret):
        if decoded.isascii() and (text := decoded.decode("ascii")).isprintable():
            yield text


def _bodies(secret: str) -> set[str]:
    """A secret, and what is left of it without a short prefix and what separates its letters."""
    prefix = SHORT_PREFIX.match(secret)
    # What separates may be the first letters of the rest, too: base64 begins with any of its own.
    rests = (secret[at:] for at in range(prefix.start(1) + 1, prefix.end() + 1)) if prefix else ()
    whole = {secret, *rests}
    return whole | {SEPARATORS.sub("", text) for text in whole}


def _decoded(text: str) -> tuple[bytes, ...]:
    return _from_hex(text), _from_base64(text), _from_base32(text)


@lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[bytes]:
    """All that a secret says: itself, what it is an encoding of, once or twice, and each of them backwards."""
    texts = _bodies(secret)
    found = {decoded for text in texts for decoded in _decoded(text)}
    again = {decoded for once in found if once.isascii() for decoded in _decoded(once.decode())}
    forms = {form for form in {*(text.encode() for text in texts), *found, *again} if len(form) >= DIGEST_BYTES}
    return frozenset(forms | {form[::-1] for form in forms})


def holds(text: str, secret: str) -> bool:
    """Whether a secret, or an encoding of it, stands in a text."""
    plain = unquote(text)
    return secret.lower() in plain.lower() or any(_forms(word) & _forms(secret) for word in LONG_WORD.findall(plain))


def _from_hex(text: str) -> bytes:
    return binascii.unhexlify(text) if HEX.fullmatch(text) else b"\xff"


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b"\xff"


def _from_base32(text: str) -> bytes:
    try:
        return b32decode(text + "=" * (-len(text) % 8), casefold=True)
    except ValueError:
        return b"\xff"


def _runs(text: str) -> set[str]:
    letters = text.lower().translate(WORD_BREAKS)
    return {letters[at : at + 3] for at in range(len(letters) - 2)}


@cache
def _published() -> frozenset[str]:
    return frozenset(run for line in _known() for run in _runs(line) | _runs(line[::-1]))


@cache
def _words() -> list[str]:
    return list(dict.fromkeys(word.lower() for line in _known() for word in (line, *line.split())))


@cache
def _digests() -> array[int]:
    """How what is left of common words begins, sorted; also with the line's end that `echo` adds."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - as above

    listed = (word for name in ("passwords", "english_wikipedia") for word in FREQUENCY_LISTS[name][:COMMON_WORDS])
    words = {"", *listed, *_words(), *_known()}
    texts = [text for word in words for text in (word.encode(), f"{word}\n".encode())]
    texts += [word.capitalize().encode() for word in FREQUENCY_LISTS["passwords"][:COMMON_WORDS]]
    whole = (digest(text).digest() for digest in DIGESTS for text in texts)
    found = (part[:DIGEST_BYTES] for made in whole for part in ((made, made[HALF:]) if len(made) > HALF else (made,)))
    return array("Q", sorted(int.from_bytes(begin, "big") for begin in found))


def _known() -> list[str]:
    return [line for line in _listed() if not UUID_FORM.fullmatch(line)]


@cache
def _examples() -> frozenset[str]:
    return frozenset(filter(UUID_FORM.fullmatch, _listed()))


def _listed() -> list[str]:
    return [line for line in PUBLISHED.read_text().splitlines() if line and not line.startswith("# ")]


def repetitions(secrets: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Secrets, given with their settings' names, that say what another one says: who learns one knows both."""
    for (first, one), (second, other) in combinations(secrets, 2):
        if one == other:
            yield f"{second} is the same as {first}" if first != second else f"{first} holds a secret twice"
        elif (
            _forms(one) & _forms(other)
            or min(len(_runs(one) - _runs(other)), len(_runs(other) - _runs(one))) < min(len(one), len(other)) // 2 - 1
        ):
            yield f"{second} is nearly the same as {first}" if first != second else f"{first} holds a secret twice"


def text_fault(text: str) -> str | None:
    """Why a word is none that somebody meant, as what follows "it"."""
    return "is a placeholder" if PLACEHOLDER.search(text) else None


def is_web_address(address: str) -> bool:
    """Whether it is an http or https address at all."""
    parts = _split(address)
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
    parts = _split(address)
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
    public: dict[int, int] = {4: 0, 6: 0}
    read = [_unmapped(network) for network in networks]
    together: list[IPv4Network | IPv6Network] = [
        *collapse_addresses(network for network in read if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in read if isinstance(network, IPv6Network)),
    ]
    for network in together:
        if not any(_is_in(network, private) for private in PRIVATE_NETWORKS):
            public[network.version] += network.num_addresses
    if any(public[version] >= most for version, most in MAX_PUBLIC.items()):
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
    parts = _split(address)
    return parts is not None and parts.hostname in PLATFORMS and "@" not in parts.netloc


def storage_fault(address: str, *, lasting: bool) -> str | None:
    """Why files cannot be kept there, where that is `lasting` for as long as books are, as what follows "it"."""
    if address.startswith("memory:") and lasting:
        return "keeps files only until the process ends"
    if fault := place_fault(address):
        return fault
    return (
        _folder_fault(Path(address.removeprefix("file://")), lasting=lasting) if address.startswith("file:") else None
    )


def place_fault(address: str) -> str | None:
    """Why an address names no place for files, as what follows "it"."""
    scheme, separator, _ = address.partition("://")
    if not separator or scheme not in PLACE:
        return "must begin with s3:// or file://, or be memory://"
    if PLACE[scheme].fullmatch(address):
        return None
    return {"s3": "must name a bucket", "file": "must name a folder", "memory": "must be memory:// alone"}[scheme]


def _folder_fault(folder: Path, *, lasting: bool) -> str | None:
    try:
        found = folder.resolve()
        exists = next(place for place in (found, *found.parents) if place.exists())
    except (OSError, ValueError, RuntimeError):
        return "must name a folder"
    if not exists.is_dir():
        return "must name a folder, and there is a file in its way"
    if lasting and any(found.is_relative_to(Path(place).resolve()) for place in SWEPT):
        return f"must name a folder that lasts: {', '.join(SWEPT)} are swept"
    if lasting and _file_system(found) in IN_MEMORY:
        return "must name a folder that lasts: that one is in memory"
    if lasting and any(place.stat().st_mode & stat.S_IWOTH for place in (exists, *exists.parents)):
        return "must name a folder into which, and above which, not everybody may write: chmod o-w"
    return None


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on or will be on; empty where that is not known."""
    kinds: dict[Path, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mount, _, source = line.partition(" - ")
            kinds[Path(mount.split()[4])] = source.split()[0]
    return next((kinds[place] for place in (folder, *folder.parents) if place in kinds), "")


def collector_fault(address: str) -> str | None:
    """Why metrics and traces must not be sent there, as what follows "it"."""
    parts = _split(address)
    if parts is not None and parts.scheme == "http" and parts.hostname and not is_near(parts.hostname):
        return "must be an https address: others may listen on the way to its host"
    return None if is_web_address(address) else "must be an http or https address"


def near_collectors(environ: Mapping[str, str]) -> Iterator[str]:
    """The hosts of collectors that are called past every proxy."""
    for name in COLLECTORS:
        parts = _split(environ.get(name, ""))
        if parts is not None and parts.hostname and is_near(parts.hostname):
            yield parts.hostname


def library_faults(environ: Mapping[str, str]) -> Iterator[str]:
    """What libraries would do for names that they read by themselves, as left over from a search for a fault."""
    for name, (values, what) in WEAKENED.items():
        if re.fullmatch(values, environ.get(name, ""), re.IGNORECASE):
            yield f"{name} is not allowed in production: {what}"


def passwords_of(file: str) -> list[str]:
    """The passwords in a file of libpq's form, host:port:database:user:password; none of one that cannot be read."""
    with suppress(OSError, ValueError):
        lines = [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
        return [re.sub(r"\\(.)", r"\1", found[1]) for line in lines if (found := PASSWORD_LINE.fullmatch(line))]
    return []


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


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        parts.hostname  # noqa: B018 - reading them is what finds broken ones
        _ = parts.port if parts.scheme in ("http", "https") else None
    except ValueError:
        return None
    return parts
