"""An environment that production starts with, of secrets made up by chance."""

from __future__ import annotations

import base64
import random
import string

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
# Always the same, so that all test processes collect the same tests.
CHANCE = random.Random(19)


def letters(length: int, among: str = LETTERS) -> str:
    return "".join(CHANCE.choice(among) for _ in range(length))


def in_hex(size: int) -> str:
    return CHANCE.randbytes(size).hex()


FIT = {
    "ECOTRIPS_ENV": "production",
    "DATABASE_URL": f"postgresql://postgres:{in_hex(16)}@postgres:5432/ecotrips",
    "JWT_SECRET": in_hex(32),
    "JWT_PREVIOUS_SECRETS": f"{in_hex(32)}, {letters(42, LETTERS + '-_')}",
    "DATABASE_ROLE_SECRET": in_hex(16),
    "LINK_SECRETS": f"b:{in_hex(32)},a:{letters(32, LETTERS + '-_')}",
    "PRIVACY_HMAC_SECRET": base64.b64encode(CHANCE.randbytes(32)).decode(),
    "METRICS_TOKEN": letters(42, URL_SAFE),
    "PUBLIC_URL": "https://ops.ecotrips.africa",
    "STORAGE_URL": "s3://ecotrips",
    "STRIPE_PAYOUT_ACCOUNT": f"acct_{letters(16)}",
    "STRIPE_SECRET_KEY": f"sk_live_{letters(24)}",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{letters(32)},whsec_{letters(64)}",
    "HBX_BASE_URL": "https://api-mtls.hotelbeds.com",
    "HBX_API_KEY": in_hex(16),
    "HBX_API_SECRET": in_hex(8),
    "WA_ACCESS_TOKEN": f"EAAG{letters(180)}",
    "WA_PHONE_ID": "106540352242922",
    "WA_APP_SECRET": in_hex(16),
    "WA_VERIFY_TOKEN": letters(42, URL_SAFE),
}
