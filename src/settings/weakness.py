"""Which secrets somebody might guess or know, and which say the same (docs/security.md, Production)."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from base64 import b32decode, b64decode
from binascii import unhexlify
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from uuid import UUID

PUBLISHED = Path(__file__).with_name("published_secrets.txt")
MIN_SECRET_LENGTH = 32
TEST_KEY = re.compile(r"[a-z]+_test_")
TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
PASSWORD_LINE = re.compile(r"(?:(?:[^:\\]|\\.)*:){4}((?:[^\\]|\\.)*)")
DIGESTS = (
    *(hashlib.md5, hashlib.sha1, hashlib.sha224, hashlib.sha256, hashlib.sha384, hashlib.sha512),
    *(hashlib.sha3_256, hashlib.blake2b, hashlib.blake2s),
)
# Half of a long digest is used as a secret, too.
HALF = 32
DIGEST_BYTES = 8
COMMON_WORDS = 10_000
UUID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RANDOM_UUID = 4
DECODERS: tuple[Callable[[str], bytes], ...] = (
    unhexlify,
    lambda text: b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True),
    lambda text: b32decode(text + "=" * (-len(text) % 8), casefold=True),
)
SEPARATORS = re.compile(r"[\W_]+")
SHORT_PREFIX = re.compile(r"[A-Za-z]{1,12}([\W_]+)")
# What may be a secret in a longer text.
LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{16,}")
ALPHABETS = ((re.compile("[a-z]"), 26), (re.compile("[A-Z]"), 26), (re.compile("[0-9]"), 10))
# A random secret has at least this share of the entropy of its letters, by zxcvbn's estimate.
MIN_CHANCE, MIN_CHANCE_OF_SHORT = 0.6, 0.5
AT_A_TIME = 40  # letters: zxcvbn takes more than in proportion
WORD_BREAKS = str.maketrans("_ ", "--")


class Form(NamedTuple):
    """What a kind of secret looks like: at least `min_length` characters behind one of the prefixes."""

    min_length: int = MIN_SECRET_LENGTH
    prefixes: tuple[str, ...] = ("",)

    def __str__(self) -> str:
        behind = f" behind {' or '.join(self.prefixes)}" if any(self.prefixes) else ""
        return f"of {self.min_length} characters or more{behind}"


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
    if len(body) < form.min_length:
        yield f"is shorter than {form.min_length} characters" + (f" behind {prefix}" if prefix else "")
    if TOKEN.fullmatch(body):
        yield "is a token, which its bearers know"
    if any(_is_guessable(text, form.min_length) for text in (body, *_encoded_in(body))):
        yield "is a placeholder, published, or follows a pattern"


def _is_guessable(secret: str, min_length: int) -> bool:
    letters, length = secret.lower(), max(min_length, len(secret))
    few, own = min(max(4, length // 4), 8), len(_runs(letters) - _published())
    varied = all(len(_steps(letters, by)) >= min(few, (length - by) // 3) for by in range(1, length // 2 + 1))
    patterned = not varied or len(set(letters)) < few or own < length // 2 - 2
    return patterned or _is_made_up(secret, min_length) or _is_digest(secret)


def _is_made_up(secret: str, min_length: int) -> bool:
    found = UUID_FORM.search(secret.lower())
    if found and (UUID(found[0]).version != RANDOM_UUID or found[0] in _listed()):
        return True
    return _chance(secret) < (MIN_CHANCE if min_length >= MIN_SECRET_LENGTH else MIN_CHANCE_OF_SHORT)


@lru_cache(maxsize=64)  # one process reads its settings more than once
def _chance(secret: str) -> float:
    """How many guesses the secret takes by zxcvbn's reading, of those that random letters would take: in bits."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its words are slow to load, and only production needs them

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
    decoded = (found for body in _bodies(secret) for found in _decoded(body) if len(found) >= DIGEST_BYTES)
    begins = {int.from_bytes(found[:DIGEST_BYTES], "big") for found in decoded}
    return any(bisect_left(_digests(), begin) < bisect_right(_digests(), begin) for begin in begins)


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


def _decoded(text: str) -> Iterator[bytes]:
    """What a text is the hex, base64 or base32 of."""
    for decode in DECODERS:
        with suppress(ValueError):
            yield decode(text)


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


def passwords_of(file: str) -> list[str]:
    """The passwords in a file of libpq's form, host:port:database:user:password; none of one that cannot be read."""
    with suppress(OSError, ValueError):
        lines = [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
        return [re.sub(r"\\(.)", r"\1", found[1]) for line in lines if (found := PASSWORD_LINE.fullmatch(line))]
    return []
