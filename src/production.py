"""What a production installation must not start with (DESIGN.md, Modes): mocks, weak secrets, missing keys."""

from collections.abc import Iterator, Mapping

REQUIRED = (
    "DATABASE_URL",
    "DATABASE_ROLE_SECRET",
    "JWT_SECRET",
    "LINK_SECRETS",
    "PRIVACY_HMAC_SECRET",
    "PUBLIC_URL",
    "STORAGE_URL",
    "STRIPE_PAYOUT_ACCOUNT",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "HBX_API_KEY",
    "HBX_API_SECRET",
    "WA_ACCESS_TOKEN",
    "WA_PHONE_ID",
    "WA_APP_SECRET",
    "WA_VERIFY_TOKEN",
)
SHORTEST_SECRET = 32
# Words that examples, tutorials and our own compose file use where a secret should stand.
PLACEHOLDERS = ("change-me", "changeme", "example", "secret-secret", "your-", "test_")


def faults(environ: Mapping[str, str], live: Mapping[str, str]) -> Iterator[str]:
    """Everything that is wrong, one line each. `live` has each switch's live value."""
    for name, value in live.items():
        if environ.get(name, value) != value:
            yield f"{name}={environ[name]} is not allowed in production; it must be {value}"
    for name in REQUIRED:
        value = environ.get(name, "")
        if not value:
            yield f"{name} is not set"
        elif any(word in value.lower() for word in PLACEHOLDERS):
            yield f"{name} is a placeholder"
    if 0 < len(environ.get("JWT_SECRET", "")) < SHORTEST_SECRET:
        yield f"JWT_SECRET is shorter than {SHORTEST_SECRET} characters"
    if environ.get("STRIPE_SECRET_KEY", "").startswith(("sk_test_", "rk_test_")):
        yield "STRIPE_SECRET_KEY is a test key"
