"""The one table of settings. What each is for stands here; its reading says what it must be, its default and need.

`ecotrips settings` shows it with the values in force, docs/settings.md is made from it, tests hold both to the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from src.settings import declared


class Entry(NamedTuple):
    """A sentence for who sets it, and a value that is accepted."""

    meaning: str
    example: str


class Row(NamedTuple):
    """A setting with everything that the table says of it: `kind` follows "must be", `needed` is in production."""

    name: str
    group: str
    meaning: str
    kind: str
    default: str
    example: str
    needed: bool


RANDOM = "$(openssl rand -hex 32)"
LATER = "is used instead of it for this one purpose"

TABLE: Mapping[str, Mapping[str, Entry]] = {
    "This installation": {
        "ECOTRIPS_ENV": Entry("Production refuses mocks, weak secrets and much more (docs/security.md).", "production"),
        "PORT": Entry("Where HTTP is served.", "8080"),
        "PUBLIC_URL": Entry("Our own address in links that are handed out.", "https://ops.ecotrips.africa"),
        "DATA_DIR": Entry(
            "The embedded PostgreSQL, dev.env, this installation's switches and secret, and files without STORAGE_URL.",
            "/var/lib/ecotrips",
        ),
        "STORAGE_URL": Entry(
            "Where documents, archives and files are kept: one place for all hosts. Without it each host keeps its own"
            " below DATA_DIR, and others answer 404 for them; file:///… is for one host, or a folder that all share.",
            "s3://ecotrips-files",
        ),
        "BUSINESS_TIMEZONE": Entry("Whose days invoices are numbered and dated by.", "Africa/Kigali"),
        "INVOICE_FACTURX": Entry("Attaches each document's data as Factur-X.", "1"),
        "LOG_LEVEL": Entry("The least that the service logs.", "WARNING"),
    },
    "Secrets and keys": {
        "JWT_SECRET": Entry("Signs keys and tokens (HS256); make run makes one of its own.", RANDOM),
        "JWT_PREVIOUS_SECRETS": Entry("Secrets that tokens may still be signed with while JWT_SECRET changes.", RANDOM),
        "JWT_JWKS": Entry("Public keys of who else signs tokens (RS256, ES256, EdDSA).", "/etc/ecotrips/jwks.json"),
        "JWT_ISSUER": Entry("Whose tokens are taken, by iss; needed with JWT_JWKS.", "https://id.ecotrips.africa"),
        "JWT_AUDIENCE": Entry("For whom tokens have to be, by aud; needed with JWT_JWKS.", "ecotrips-ops"),
        "DATABASE_ROLE_SECRET": Entry(
            f"The logins' passwords are derived from it; without it JWT_SECRET {LATER}.", RANDOM
        ),
        "LINK_SECRETS": Entry(
            "Sign links to files, the first one new links; without them one is derived from JWT_SECRET.", f"a:{RANDOM}"
        ),
        "PRIVACY_HMAC_SECRET": Entry(
            "The key of the tokens that stay of erased people; without it one is derived from JWT_SECRET.", RANDOM
        ),
        "METRICS_TOKEN": Entry("The bearer that /metrics wants; without it everybody may read them.", RANDOM),
    },
    "Database": {
        "DATABASE_URL": Entry(
            "The database, with its administrator's login for `ecotrips db`; without it PostgreSQL runs in DATA_DIR.",
            "postgresql://admin:password@db.internal:5432/ecotrips",
        ),
        "DATABASE_REPLICA_URL": Entry("A hot standby that reads go to.", "postgresql://standby.internal:5432/ecotrips"),
        "DATABASE_DIRECT_URL": Entry(
            "The server itself, where DATABASE_URL names a pooler.", "postgresql://db.internal:5432/ecotrips"
        ),
        "DATABASE_POOLER": Entry("Set for a PgBouncer that does not prepare statements.", "transaction"),
        "DATABASE_POOL_SIZE": Entry("Connections of each role and process; a quarter more is kept free.", "20"),
        "DB_SCHEMAS": Entry(
            "What /rest/v1 shows, the default schema first; never what is internal or PostgreSQL's own.",
            "public,core,booking",
        ),
        "POSTGRES_BIN": Entry(
            "PostgreSQL's programs for the embedded server, psql and dumps, in place of those that come along.",
            "/usr/lib/postgresql/18/bin",
        ),
        "POSTGRES_PORT": Entry(
            "Where the embedded server listens beside its socket, on a machine without strangers; 0 is nowhere.", "5433"
        ),
        "PGHOST": Entry("The host, where DATABASE_URL names none.", "db.internal"),
        "PGPORT": Entry("The port, where DATABASE_URL names none.", "5433"),
        "PGUSER": Entry("The administrator's login, where DATABASE_URL names none.", "admin"),
        "PGPASSWORD": Entry("Its password, likewise.", RANDOM),
        "PGPASSFILE": Entry("A file with passwords, in place of ~/.pgpass.", "/etc/ecotrips/pgpass"),
        "PGSSLMODE": Entry("sslmode, where DATABASE_URL does not say it.", "verify-full"),
        "PGSSLROOTCERT": Entry("sslrootcert, where DATABASE_URL does not say it.", "/etc/ecotrips/database-ca.crt"),
    },
    "Switches": {
        "USE_FIXTURES": Entry(
            "Bookings and places come from fixtures/, exceptions also; 0: from the database, lists for ops only.", "0"
        ),
        "INVENTORY_OFFLINE": Entry(
            "Hotels come from fixtures/; 0 needs HBX_API_KEY, HBX_API_SECRET and HBX_BASE_URL.", "0"
        ),
        "WA_OFFLINE": Entry(
            "Messages are not sent; 0 needs WA_ACCESS_TOKEN, WA_PHONE_ID, WA_APP_SECRET and WA_VERIFY_TOKEN.", "0"
        ),
        "STRIPE_MOCK_MODE": Entry(
            "Payments and payouts are mocked; 0 needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET.", "0"
        ),
        "OPS_REFUND_MODE": Entry("mock: ops-refund checks what ops ask for, and moves no money.", "live"),
        "PAYOUTS_PAUSED": Entry("Holds new payouts back, but those that ops ask for.", "1"),
        "ESCROW_REFUNDS_PAUSED": Entry("Holds new refunds of escrows back.", "1"),
    },
    "Callers": {
        "RATE_LIMITS": Entry("Limits the calls of each caller.", "1"),
        "TRUSTED_PROXIES": Entry("Whose X-Forwarded-For and Forwarded count.", "10.0.0.0/8,2001:db8::/32"),
        "CORS_ORIGINS": Entry("Whose pages may read our answers.", "https://ops.ecotrips.africa"),
    },
    "Stripe": {
        "STRIPE_SECRET_KEY": Entry("The key that payments are made with.", "sk_live_…"),
        "STRIPE_WEBHOOK_SECRET": Entry("What webhooks are signed with; both while it changes.", "whsec_…"),
        "STRIPE_PAYOUT_ACCOUNT": Entry("The connected account that payouts of groups go to.", "acct_1Nv0FGQ9RKHgCVdK"),
        "STRIPE_API_BASE": Entry("Another address than Stripe's own.", "https://stripe.internal.example"),
    },
    "Hotelbeds": {
        "HBX_API_KEY": Entry("The key that hotels are asked with.", "(from Hotelbeds)"),
        "HBX_API_SECRET": Entry("Its secret.", "(from Hotelbeds)"),
        "HBX_BASE_URL": Entry("Hotelbeds' address; the default is its test host.", "https://api-mtls.hotelbeds.com"),
        "HBX_CLIENT_CERT": Entry("The client certificate that Hotelbeds wants live (PEM).", "/etc/ecotrips/hbx.crt"),
        "HBX_CLIENT_KEY": Entry("Its key (PEM); one file may hold both.", "/etc/ecotrips/hbx.key"),
        "HBX_MARKUP_PERCENT": Entry("Added to every net price.", "12.5"),
    },
    "WhatsApp": {
        "WA_ACCESS_TOKEN": Entry("The token that messages are sent with.", "(from Meta)"),
        "WA_PHONE_ID": Entry("The id of the number that sends.", "106540352242922"),
        "WA_APP_SECRET": Entry("What webhooks are signed with; both, with a comma, while it changes.", "(from Meta)"),
        "WA_VERIFY_TOKEN": Entry("What Meta names when it looks at the webhook.", RANDOM),
        "WA_LINK_TEMPLATE": Entry("The approved template of links, when free text may not be sent.", "link_notice:en"),
        "WA_GRAPH_BASE": Entry("The address of Meta's Graph API.", "https://graph.facebook.com"),
        "WA_GRAPH_VERSION": Entry("Its version.", "v26.0"),
    },
    "Files in S3": {
        "AWS_ACCESS_KEY_ID": Entry("Who keeps files in the bucket; without it the machine's own role.", "(from AWS)"),
        "AWS_SECRET_ACCESS_KEY": Entry("Its secret.", "(from AWS)"),
        "AWS_SESSION_TOKEN": Entry("Of keys that are for a time only.", "(from AWS)"),
        "AWS_REGION": Entry("Where the bucket is.", "eu-west-1"),
        "AWS_ENDPOINT_URL": Entry("Another store than Amazon's that speaks S3.", "https://minio.internal"),
        "AWS_ALLOW_HTTP": Entry("Lets that store be reached without TLS.", "true"),
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": Entry("The bucket is part of the host's name.", "true"),
    },
    "Metrics, traces and other libraries": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": Entry(
            "The collector that metrics and traces are sent to.", "http://collector:4318"
        ),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": Entry("Where traces alone go.", "http://collector:4318/v1/traces"),
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": Entry("Where metrics alone go.", "http://collector:4318/v1/metrics"),
        "OTEL_EXPORTER_OTLP_HEADERS": Entry("Headers that the collector wants.", "authorization=Bearer%20…"),
        "OTEL_EXPORTER_OTLP_TIMEOUT": Entry("Seconds to wait for the collector.", "5"),
        "OTEL_EXPORTER_OTLP_CERTIFICATE": Entry("Who vouches for the collector (PEM).", "/etc/ecotrips/otel-ca.crt"),
        "OTEL_METRIC_EXPORT_INTERVAL": Entry("Milliseconds between two sendings of metrics.", "15000"),
        "OTEL_TRACES_SAMPLER": Entry(
            "Which requests are traced; without it the first hundred of a second.", "parentbased_traceidratio"
        ),
        "OTEL_TRACES_SAMPLER_ARG": Entry("The share of them, where the sampler has one.", "0.01"),
        "OTEL_RESOURCE_ATTRIBUTES": Entry("What else each metric and trace says of this process.", "host.name=ops-1"),
        "SSL_CERT_FILE": Entry(
            "Other authorities than this machine's own vouch for providers (PEM).", "/etc/ssl/ca.pem"
        ),
    },
}

# Read by other programs than the service, which therefore cannot show them: the meaning, and the default.
ELSEWHERE: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Containers (compose.yaml and Dockerfile)": {
        "ECOTRIPS_MODE": ("offline or production: which of deploy/*.env compose.yaml adds.", ""),
        "POSTGRES_PASSWORD": ("The administrator's password in compose.yaml's PostgreSQL: letters and digits.", ""),
        "POSTGRES_DB": ("The database that its image makes.", "ecotrips"),
        "POSTGRES_IMAGE": ("The image of PostgreSQL, by tag or digest.", "postgres:18.6"),
        "COLLECTOR_IMAGE": ("The image of the collector.", "otel/opentelemetry-collector:0.140.0"),
        "PYTHON_IMAGE": ("A build argument: the image that ours is built on.", "python:3.13-slim-bookworm"),
    },
    "The system": {
        "PATH": ("Where psql, pg_dump and pg_restore are looked for, too.", ""),
        "HTTPS_PROXY": (
            "The proxy by which providers, S3 and a collector elsewhere are called; what is near never is.",
            "",
        ),
        "HTTP_PROXY": ("Likewise for addresses without TLS.", ""),
        "NO_PROXY": ("Hosts that are called without it.", ""),
        "PSQL_PAGER": ("The pager of psql, before PAGER; without both one that fits is chosen.", ""),
        "PAGER": ("The pager of all programs.", ""),
        "TMPDIR": ("Temporary files, and the embedded server's socket where the path of DATA_DIR is long.", ""),
    },
    "Development": {
        "PYTHON": ("The Python that make builds the environment with.", "python3"),
        "BENCH": ("Arguments of make bench.", ""),
        "PGBOUNCER": ("The PgBouncer that tests start.", "the one on the PATH"),
        "ECOTRIPS_TEST_POSTGRES": ("Where tests have their PostgreSQL (docs/develop.md).", "auto"),
        "ECOTRIPS_TEST_POSTGRES_IMAGE": ("Its image, where that is a container.", "postgres:18"),
        "FUZZ_REQUESTS": ("How many requests are made up for each operation and caller.", "6"),
        "SOAK_MINUTES": ("How long make soak runs.", "30"),
        "BENCH_DATA": ("Where benches keep their database (bench/README.md).", ".data/bench"),
    },
}

# Families whose single names are in another place.
FAMILIES: Mapping[str, str] = {
    "PGRST_": "options of `ecotrips rest` alone ([rest.md](rest.md))",
    "AWS_": "what else the S3 library knows (object_store's `AmazonS3ConfigKey`)",
    "OTEL_": "what else OpenTelemetry's Python SDK knows",
    "PG": "what else libpq knows, for psql and dumps",
}


def rows() -> Iterator[Row]:
    """The table. The default is that of development, with that of production where it is another one."""
    anywhere, production = (declared({}, production=where).declared for where in (False, True))
    for group, entries in TABLE.items():
        for name, entry in entries.items():
            given, there = anywhere[name], production[name].default
            default = given.default if there == given.default else f"{given.default}; in production {there}"
            yield Row(name, group, entry.meaning, given.kind, default, entry.example, needed=given.needed)
