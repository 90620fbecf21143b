"""What production does not start with (docs/security.md, Production): a rule for all secrets, one for all addresses."""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from src.domain.links import is_public_host
from src.dsn import Dsn

PUBLISHED = Path(__file__).with_name("published_secrets.txt")
SHORTEST_SECRET = 32
TEST_KEY = re.compile(r"[a-z]+_test_")
TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
PLACEHOLDER = re.compile(r"your[-_]|change[-_]?me|example|placeholder|x{3}|[<>]", re.IGNORECASE)
TEST_HOST = re.compile(r"https://[^/?#]*\btest\b", re.IGNORECASE)
CERTAIN_TLS = ("require", "verify-ca", "verify-full")
STORES = ("s3", "file")
DIGESTS = ("md5", "sha1", "sha256", "sha512")
WORD_BREAKS = str.maketrans("_ ", "--")


class Form(NamedTuple):
    """What a kind of secret looks like: at least `least` characters behind one of the prefixes."""

    least: int = SHORTEST_SECRET
    prefixes: tuple[str, ...] = ("",)


OURS = Form()
PASSWORD = Form(12)


def weakness(secret: str, form: Form = OURS) -> str | None:
    """Why somebody might guess or know the secret, as what follows "it"; None when nobody might.

    A random secret has many different letters, many different steps between letters whatever their distance, and mostly
    runs of three letters that stand neither twice in it nor in what is published. One that repeats, counts or is made
    of known words lacks one of the three; a known word's digest is looked up.
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
    return not varied or len(set(letters)) < few or own < length // 2 - 2 or letters in _digests()


def _steps(letters: str, by: int) -> set[int]:
    """How far letters lie from those that stand so many places before them."""
    return {ord(after) - ord(before) for before, after in zip(letters, letters[by:], strict=False)}


def _encoded_in(secret: str) -> Iterator[str]:
    """The text that the secret is in base64 or in hex, if it is one that people write."""
    for decoded in (_from_hex(secret), _from_base64(secret)):
        if decoded.isascii() and (text := decoded.decode("ascii")).isprintable():
            yield text


def _from_hex(text: str) -> bytes:
    return binascii.unhexlify(text) if HEX.fullmatch(text) else b"\xff"


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b"\xff"


def _runs(text: str) -> set[str]:
    letters = text.lower().translate(WORD_BREAKS)
    return {letters[at : at + 3] for at in range(len(letters) - 2)}


@cache
def _published() -> frozenset[str]:
    return frozenset(run for line in _known() for run in _runs(line) | _runs(line[::-1]))


@cache
def _digests() -> frozenset[str]:
    """What is left of known words by the usual digests."""
    words = ["", *(word for line in _known() for word in (line, *line.split()))]
    return frozenset(hashlib.new(name, word.encode()).hexdigest() for word in words for name in DIGESTS)


def _known() -> list[str]:
    return [line for line in PUBLISHED.read_text().splitlines() if line and not line.startswith("# ")]


def repetitions(secrets: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Secrets, given with their settings' names, that say what another one says: who learns one knows both."""
    for (first, one), (second, other) in combinations(secrets, 2):
        if one == other:
            yield f"{second} is the same as {first}" if first != second else f"{first} holds a secret twice"
        elif min(len(_runs(one) - _runs(other)), len(_runs(other) - _runs(one))) < min(len(one), len(other)) // 2 - 1:
            yield f"{second} is nearly the same as {first}" if first != second else f"{first} holds a secret twice"


def text_fault(text: str) -> str | None:
    """Why a word is none that somebody meant, as what follows "it"."""
    return "is a placeholder" if PLACEHOLDER.search(text) else None


def hotelbeds_fault(address: str) -> str | None:
    """Why live prices and rooms do not come from there, as what follows "it"."""
    fault = address_fault(address)
    return fault or ("is Hotelbeds' test host" if TEST_HOST.match(address) else None)


def public_fault(address: str) -> str | None:
    """Why an address cannot be handed to travellers and providers, as what follows "it"."""
    return address_fault(address, public=True)


def address_fault(address: str, *, public: bool = False) -> str | None:
    """Why we must not call or hand out an http address, as what follows "it"; a `public` one is for everybody."""
    parts = _split(address)
    if parts is None or parts.scheme != "https" or not parts.hostname:
        return "must be an https address"
    if "@" in parts.netloc:
        return "must not hold credentials"
    if public and not is_public_host(parts.hostname):
        return "must name a public host"
    return None


def origin_fault(origin: str) -> str | None:
    """Why pages of an origin must not read answers, as what follows "it"."""
    fault = address_fault(origin)
    return fault or (None if re.fullmatch(r"https://[^/?#]+", origin) else "must be an origin, https://host")


def storage_fault(address: str) -> str | None:
    """Why files must not be kept there, as what follows "it"."""
    scheme = address.partition("://")[0]
    if scheme == "memory":
        return "keeps files only until the process ends"
    return None if scheme in STORES else f"must begin with {' or '.join(f'{store}://' for store in STORES)}"


def database_faults(address: Dsn, environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a database's address, as what follows "it"; its password is one of the secrets."""
    mode = address.value("sslmode") or environ.get("PGSSLMODE", "")
    if mode not in CERTAIN_TLS and not address.is_near(environ):
        yield f"must say sslmode={' or '.join(CERTAIN_TLS)}: others may listen on the way to its host"


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        parts.hostname  # noqa: B018 - reading it is what finds a broken one
    except ValueError:
        return None
    return parts
