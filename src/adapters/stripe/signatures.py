"""Stripe's webhook signatures: `t=<unix>,v1=<hex>[,v1=…]`, HMAC-SHA256 of `<t>.<raw body>`.

The SDK's check is not used: it accepts timestamps in the future, and importing it is slow.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence

TOLERANCE_SECONDS = 300
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class StripeSignatures:
    """Accepts a signature by any of `secrets`; there are two during a rotation."""

    def __init__(self, secrets: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._clock = clock

    @property
    def required(self) -> bool:
        return bool(self._secrets)

    def valid(self, body: bytes, signature: str) -> bool:
        parts = [part.strip().partition("=") for part in signature.split(",")]
        timestamps = [value for name, _, value in parts if name == "t"]
        if len(timestamps) != 1 or not UNIX_SECONDS.fullmatch(timestamps[0]):
            return False
        if abs(self._clock() - int(timestamps[0])) > TOLERANCE_SECONDS:
            return False
        signed = timestamps[0].encode() + b"." + body
        expected = [hmac.new(secret, signed, hashlib.sha256).hexdigest().encode() for secret in self._secrets]
        given = [value.encode("utf-8", "replace") for name, _, value in parts if name == "v1"]
        return any(hmac.compare_digest(one, other) for one in expected for other in given)
