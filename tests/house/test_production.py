"""What production refuses to start with: every weak secret by one rule, and what it says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from uuid import UUID

import obstore
import pytest

from src.adapters.files.store import store_at
from src.commands.settings import rows
from src.database.roles import LOGINS
from src.domain.errors import NotFound, Unavailable
from src.domain.storage import ObjectName
from src.edge.errors import SettingsError
from src.rest.server.settings import rest_settings
from src.settings import INTERNAL_SCHEMAS, LIVE_SWITCHES, derived, files, from_environment
from src.settings import weakness as secrecy
from src.settings.environment import Environment
from src.settings.kinds import TEXT
from src.settings.libraries import CREDENTIALS_ADDRESSES, STORE_ADDRESSES, STORE_PARTS, STORE_WEAKENED, WEAKENED
from src.settings.setting import SECRET_NAME, Setting
from src.settings.table import HBX_KEY, HBX_SECRET, STRIPE_KEY, STRIPE_SIGNING
from src.settings.weakness import OURS, Form, weakness
from tests.support.disks import disk
from tests.support.processes import ROOT, ecotrips
from tests.support.production import CHANCE, FIT, LETTERS, URL_SAFE, in_hex, letters

SUPABASE = "your-super-secret-jwt-token-with-at-least-32-characters-long"
SUPABASE_CLI = SUPABASE.removeprefix("your-")
GUESSABLE = "is a placeholder, published, or follows a pattern"


SECRETS = (
    "JWT_SECRET",
    "JWT_PREVIOUS_SECRETS",
    "DATABASE_ROLE_SECRET",
    "LINK_SECRETS",
    "PRIVACY_HMAC_SECRET",
    "METRICS_TOKEN",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "HBX_API_KEY",
    "HBX_API_SECRET",
    "WA_ACCESS_TOKEN",
    "WA_APP_SECRET",
    "WA_VERIFY_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
PREFIXES = {"STRIPE_SECRET_KEY": "sk_live_", "STRIPE_WEBHOOK_SECRET": "whsec_", "LINK_SECRETS": "a:"}
# Read under a secret's name, and none: a file's path, and whose secret another one is.
NO_SECRETS = {"HBX_CLIENT_KEY", "AWS_ACCESS_KEY_ID"}
NOT_WANTED = ("JWT_PREVIOUS_SECRETS", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def refused(**changes: str) -> str:
    """What production says of its settings with these changes."""
    with pytest.raises(SettingsError) as caught:
        from_environment(FIT | changes)
    return str(caught.value)


class Noting(dict[str, str]):
    """An environment that remembers which names were asked for."""

    def __init__(self, given: dict[str, str]) -> None:
        super().__init__(given)
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # one of dict's forms
        self.asked.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def asked_for() -> set[str]:
    environ = Noting(FIT)
    from_environment(environ)
    return environ.asked


def test_a_complete_production_environment_is_fit() -> None:
    settings = from_environment(FIT)
    assert settings.production
    assert settings.switches == LIVE_SWITCHES
    assert settings.rate_limits


def test_every_setting_with_a_secrets_name_is_held_to_the_rule() -> None:
    named = {name for name in asked_for() if SECRET_NAME.search(name)}
    assert named - NO_SECRETS == set(SECRETS)
    for name in SECRETS:
        assert f"{name} " in refused(**{name: PREFIXES.get(name, "") + "a" * 40}), name


def test_a_secret_cannot_be_read_as_if_it_were_a_word() -> None:
    for name in ("NEXT_API_KEY", "SMS_TOKEN", "MAIL_PASSWORD", "CHAT_SECRETS", "SECRET"):
        with pytest.raises(AssertionError, match=name):
            Setting(name, TEXT, "A word.", "word")


def test_no_module_reads_a_secret_past_the_rule() -> None:
    reads = re.compile(r"environ(?:\.get\(|\[)\s*[\"'](\w+)[\"'](?!\] = )")
    for file in (ROOT / "src").rglob("*.py"):
        assert not [name for name in reads.findall(file.read_text()) if SECRET_NAME.search(name)], file


def test_settings_that_hold_a_secret_do_not_show_it() -> None:
    settings = from_environment(FIT)
    given = [value for name in (*SECRETS, "DATABASE_URL") if name in FIT for value in re.split(r",\s*|\w:", FIT[name])]
    assert len(given) > len(SECRETS)
    assert not [value for value in given if value and value in repr(settings)]
    shown = {field.name for field in fields(settings) if field.repr}
    assert not {name for name in shown if SECRET_NAME.search(name.upper())} - {"hbx_client_key"}


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 32,
        "a",
        "ab" * 32,
        "k4f8e2" * 8,
        "0123456789abcdef" * 4,
        "abcdefghijklmnopqrstuvwxyz012345",
        "zyxwvutsrqponmlkjihgfedcba987654",
        "aabbccddeeff00112233445566778899",
        "acegikmoqsuwy02468acegikmoqsuwy02468",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
        "password" * 5,
        "change-me-change-me-change-me-now",
        "CHANGE_ME_PLEASE_THIS_IS_A_SECRET",
        "your-jwt-secret-goes-here-please-change",
        "super-secret-production-key-for-ecotrips",
        "01010101011101010101010110101010",
        "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "abc123abc124abc125abc126abc127abc128",
        "2026-11-30T06:40:00Z2026-11-30T06:40:00Z",
        "11111111-1111-4111-8111-111111111111",
        "31415926535897932384626433832795",
        "deadbeefcafebabefeedfacebaadf00d",
        "MySuperSecretKeyForEcoTrips2026!!",
        "the quick brown fox jumps over the lazy dog",
        "<generate-with-openssl-rand-hex-32>",
        hashlib.sha256(b"password").hexdigest(),
        hashlib.md5(b"secret", usedforsecurity=False).hexdigest(),
        hashlib.sha256().hexdigest(),
        SUPABASE,
        SUPABASE_CLI,
        SUPABASE.upper(),
        f"{SUPABASE_CLI}!",
        f"my-{SUPABASE_CLI}-2",
        base64.b64encode(SUPABASE.encode()).decode(),
        SUPABASE.encode().hex(),
        base64.b64encode(b"a" * 40).decode(),
        "reallyreallyreallyreallyverysafe",
        "your-256-bit-secret-your-256-bit-secret",
    ],
)
def test_a_secret_that_can_be_guessed_or_is_published_is_refused(secret: str) -> None:
    for name in SECRETS:
        said = refused(**{name: PREFIXES.get(name, "") + secret})
        assert f"{name} " in said
        assert len(secret) == 1 or secret not in said


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("STRIPE_SECRET_KEY", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_SECRET_KEY", f"sk_test_{letters(24)}"),
        ("STRIPE_SECRET_KEY", f"rk_test_{letters(24)}"),
        ("STRIPE_SECRET_KEY", f"pk_live_{letters(24)}"),
        ("STRIPE_SECRET_KEY", letters(40)),
        ("STRIPE_WEBHOOK_SECRET", "whsec_test_secret"),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_{letters(10)}"),
        ("STRIPE_WEBHOOK_SECRET", letters(40)),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_{letters(32)},x"),
        ("STRIPE_WEBHOOK_SECRET", ","),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_{letters(32)},"),
        ("WA_VERIFY_TOKEN", "meatyhamhock"),
        ("WA_APP_SECRET", ", ,"),
        ("WA_APP_SECRET", "x"),
        ("JWT_PREVIOUS_SECRETS", "secret"),
        ("JWT_PREVIOUS_SECRETS", ","),
        ("JWT_PREVIOUS_SECRETS", " "),
        ("JWT_PREVIOUS_SECRETS", f"{in_hex(32)},,{in_hex(32)}"),
        ("JWT_SECRET", " " * 32),
        ("JWT_SECRET", "\t" * 40),
        ("JWT_SECRET", f"{in_hex(32)}\n"),
        ("JWT_SECRET", f"eyJhbGciOiJIUzI1NiJ9.{letters(40)}.{letters(43)}"),
        ("JWT_SECRET", in_hex(15)),
        ("LINK_SECRETS", in_hex(32)),
        ("LINK_SECRETS", f"a:{in_hex(32)},a:{in_hex(32)}"),
        ("LINK_SECRETS", f"a:{in_hex(32)},"),
        ("LINK_SECRETS", ","),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_SECRET_ACCESS_KEY", "minioadmin"),
        *((name, "") for name in SECRETS if name not in NOT_WANTED),
    ],
)
def test_each_kind_of_secret_has_its_form(name: str, secret: str) -> None:
    said = refused(**{name: secret})
    assert f"{name} " in said
    assert not secret.strip(" ,\t") or secret not in said


@pytest.mark.parametrize(
    "form", [OURS, Form(12), STRIPE_KEY, STRIPE_SIGNING, HBX_KEY, HBX_SECRET], ids=lambda form: str(form.min_length)
)
def test_a_short_random_secret_is_hardly_ever_that(form: Form) -> None:
    longer = max(form.min_length, 10)
    alphabets = (string.hexdigits.lower()[:16], string.ascii_lowercase, LETTERS, URL_SAFE, LETTERS + "+/")
    made = [letters(longer, alphabet) for alphabet in alphabets for _ in range(100)]
    found = [weakness(form.prefixes[0] + secret, form) for secret in made]
    # Chance is chance: among so few letters one in ten thousand looks poor.
    assert len([text for text in found if text]) <= 1, found


MADE_AS_TOLD = {
    "openssl rand -hex 32": lambda: in_hex(32),
    "openssl rand -base64 32": lambda: base64.b64encode(CHANCE.randbytes(32)).decode(),
    "uuid4": lambda: str(UUID(bytes=CHANCE.randbytes(16), version=4)),
    "40 letters": lambda: letters(40, string.ascii_letters),
}


@pytest.mark.parametrize("kind", MADE_AS_TOLD)
def test_a_random_secret_is_never_that(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What zxcvbn says is far from the bound, so that no number of secrets gets there; the other rules are quick."""
    chances = [secrecy._chance(MADE_AS_TOLD[kind]()) for _ in range(40)]  # noqa: SLF001 - how near it comes
    assert mean(chances) - 5 * stdev(chances) > secrecy.MIN_CHANCE
    assert [found for _ in range(20) if (found := weakness(MADE_AS_TOLD[kind]()))] == []
    monkeypatch.setattr(secrecy, "_chance", lambda _secret: 1.0)
    assert [found for _ in range(10_000) if (found := weakness(MADE_AS_TOLD[kind]()))] == []


@pytest.mark.parametrize("word", ["123456", "qwerty", "kigali", "admin", "password", "secret", "dragon", "ecotrips"])
def test_a_common_words_digest_is_refused(word: str) -> None:
    for digest in ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s"):
        for text in (word, f"{word}\n"):
            made = hashlib.new(digest, text.encode())
            for secret in (made.hexdigest(), made.hexdigest().upper(), made.hexdigest()[:32]):
                assert weakness(secret) == GUESSABLE
            assert weakness(base64.b64encode(made.digest()).decode(), Form(20)) == GUESSABLE


@pytest.mark.parametrize(
    "secret",
    [
        "kigali-rwanda-gorilla-trek-secret-2026!!",
        "JohnSmithKigaliRwanda1998GorillaTrek",
        "asdfjkl;qweruiopzxcvm,./12347890-=[]",
        "550e8400-e29b-41d4-a716-446655440000",
        "3FA85F64-5717-4562-B3FC-2C963F66AFA6",
        "key-550e8400-e29b-41d4-a716-446655440000",
        "01cb1da0-ecae-11f1-97d3-02fc00000001",
        "5df41881-3aed-3515-88a7-2f4a814cf09e",
        "2ed6657d-e927-568b-95e1-2665a8aea6a2",
        "01939f5e-7c2a-7b3d-9e4f-5a6b7c8d9e0f",
        "2026-11-30T09:55:29.123456+00:00-kigali1",
        "1764496529.123456-1764496529.654321-kigali",
        "Sunday,30November2026at09:55:29inKigali",
        "volcanoes-national-park-silverback-family-8",
        "mumbai-jakarta-nairobi-kampala-lagos-accra",
        "MountainGorillasAreAwesomeInVolcanoesPark",
        "P@ssw0rd!P@ssw0rd1P@ssw0rd2P@ssw0rd3",
        "iloveyou-princess-dragon-monkey-sunshine",
        "qwertzuiopasdfghjklyxcvbnmqwertzuiop",
        "ThisIsOurProductionDatabasePassword2026",
        "correcthorsebatterystaplecorrecthorse12",
    ],
)
def test_a_secret_that_people_make_up_is_refused(secret: str) -> None:
    said = refused(JWT_SECRET=secret)
    assert f"JWT_SECRET {GUESSABLE}" in said
    assert secret not in said


def test_what_tells_guessable_secrets_is_loaded_in_production_alone() -> None:
    look = "import sys; from src.settings import from_environment as f; f(); print('zxcvbn' in sys.modules)"
    for environ, expected in (({"JWT_SECRET": "x" * 32, "DATABASE_URL": "postgresql:///d"}, "False"), (FIT, "True")):
        ran = subprocess.run(
            [sys.executable, "-c", look], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
        )
        assert ran.stdout == f"{expected}\n"


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "JWT_SECRET" and not name.startswith("AWS_")])
def test_each_secret_serves_one_purpose(name: str) -> None:
    body = letters(48)
    for same in (body, f"{body}1", f"1{body}", body.swapcase()):
        said = refused(**{"JWT_SECRET": body, name: PREFIXES.get(name, "") + same})
        assert re.search(rf"{name} is (nearly )?the same as JWT_SECRET", said) or re.search(
            rf"JWT_SECRET is (nearly )?the same as {name}", said
        )
        assert body not in said


@pytest.mark.parametrize("name", ["JWT_SECRET", "METRICS_TOKEN", "WA_ACCESS_TOKEN", "WA_VERIFY_TOKEN"])
def test_the_databases_password_is_shared_by_its_addresses_alone(name: str) -> None:
    own = FIT["DATABASE_URL"].split(":")[2].partition("@")[0]
    from_environment(FIT | {"DATABASE_REPLICA_URL": FIT["DATABASE_URL"], "PGPASSWORD": own})
    said = refused(**{name: own, "PGPASSWORD": own})
    assert re.search(f"{name} is the same as the password|the password in .* is the same as {name}", said)


SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "base32": lambda raw: base64.b32encode(raw).decode().rstrip("="),
    "base64 of the text": lambda raw: base64.b64encode(raw.hex().encode()).decode(),
    "capitals": lambda raw: raw.hex().upper(),
    "backwards": lambda raw: raw.hex()[::-1],
    "bytes backwards": lambda raw: base64.b64encode(raw[::-1]).decode(),
    "colons": lambda raw: raw.hex(":"),
    "a prefix": lambda raw: "metrics-" + base64.b64encode(raw).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_spelt_in_another_way_is_the_same(spelling: str) -> None:
    raw = CHANCE.randbytes(32)
    said = refused(JWT_SECRET=raw.hex(), METRICS_TOKEN=SPELLINGS[spelling](raw))
    assert re.search("METRICS_TOKEN is (nearly )?the same as JWT_SECRET", said)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_prefix_ends_where_base64_begins_with_a_sign(encode: Callable[[bytes], bytes]) -> None:
    raw = b"\xfb" + CHANCE.randbytes(31)
    said = refused(JWT_SECRET=raw.hex(), METRICS_TOKEN=f"metrics-{encode(raw).decode()}")
    assert re.search("METRICS_TOKEN is (nearly )?the same as JWT_SECRET", said)


def test_what_is_derived_from_a_secret_is_none_of_its_own() -> None:
    for name, purpose in (
        ("JWT_SECRET", "privacy"),
        ("JWT_SECRET", "storage links"),
        ("JWT_SECRET", "client addresses"),
    ):
        said = refused(PRIVACY_HMAC_SECRET=derived(FIT[name], purpose))
        assert "PRIVACY_HMAC_SECRET is the same as a value derived from JWT_SECRET" in said
    for login in LOGINS:
        said = refused(METRICS_TOKEN=derived(FIT["DATABASE_ROLE_SECRET"], login))
        assert "METRICS_TOKEN is the same as a password derived from DATABASE_ROLE_SECRET" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINK_SECRETS", f"{{secret}}:{in_hex(32)}"),
        ("PUBLIC_URL", "https://ops.ecotrips.africa/{secret}"),
        ("JWT_ISSUER", "us,{secret}"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c={secret}"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20{secret}"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20{base64}"),
        ("DATABASE_URL", f"postgresql://ecotrips:{in_hex(16)}@postgres/ecotrips?application_name={{secret}}"),
        ("DATABASE_REPLICA_URL", f"postgresql://{{secret}}:{in_hex(16)}@postgres/ecotrips"),
        ("STRIPE_API_BASE", "https://api.stripe.com/{secret}"),
    ],
)
def test_no_secret_stands_in_another_setting(name: str, value: str) -> None:
    for other in ("JWT_SECRET", "PRIVACY_HMAC_SECRET"):
        as_base64 = base64.b64encode(FIT[other].encode()).decode()
        said = refused(**{name: value.format(secret=FIT[other], base64=as_base64)})
        assert f"{name} holds {other}" in said
        assert FIT[other] not in said
    assert "holds" not in str(Environment(FIT, production=True).all_faults())


@pytest.mark.parametrize("key_id", ["", " ", "a b", "a" * 17, "ключ"])
def test_a_links_key_has_a_short_id(key_id: str) -> None:
    assert "LINK_SECRETS must be id:secret" in refused(LINK_SECRETS=f"{key_id}:{in_hex(32)}")


@pytest.mark.parametrize(
    "secret",
    [
        hashlib.sha224(b"secret").hexdigest(),
        hashlib.sha384(b"secret").hexdigest(),
        hashlib.sha3_256(b"secret").hexdigest(),
        hashlib.sha512(b"secret").hexdigest()[64:],
        hashlib.sha256(b"secret").digest().hex(":"),
        f"jwt_{hashlib.sha256(b'secret').hexdigest()}",
        base64.b32encode(hashlib.sha256(b"password").digest()).decode(),
        hashlib.sha256(b"Password1").hexdigest().upper(),
    ],
)
def test_a_common_words_digest_is_found_in_other_forms(secret: str) -> None:
    assert f"JWT_SECRET {GUESSABLE}" in refused(JWT_SECRET=secret)


@pytest.mark.parametrize(
    "zone",
    ["localtime", "posixrules", "posix/Africa/Kigali", "right/UTC", "Factory", "../etc/localtime", "Mars/Phobos"],
)
def test_a_time_zone_of_this_system_alone_is_none(zone: str) -> None:
    assert "BUSINESS_TIMEZONE must be a time zone" in refused(BUSINESS_TIMEZONE=zone)


def test_a_list_holds_no_secret_twice() -> None:
    again = in_hex(32)
    assert "JWT_PREVIOUS_SECRETS holds a secret twice" in refused(JWT_PREVIOUS_SECRETS=f"{again},{again}")
    assert "LINK_SECRETS holds a secret twice" in refused(LINK_SECRETS=f"a:{again},b:{again}")


def test_the_demos_secret_is_not_productions(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text(FIT["JWT_SECRET"])
    assert "JWT_SECRET is the same as the secret of the demo" in refused(DATA_DIR=str(tmp_path))


def test_the_databases_password_is_one_of_the_secrets(tmp_path: Path) -> None:
    for password in ("postgres", "change-me-now", "a" * 20, "your-super-secret-and-long-postgres-password"):
        said = refused(DATABASE_URL=f"postgresql://postgres:{password}@postgres/ecotrips")
        assert "the password in DATABASE_…URL " in said
        assert password not in said
    said = refused(DATABASE_URL=f"postgresql://postgres:{FIT['JWT_SECRET']}@postgres/ecotrips")
    assert "the password in DATABASE_…URL is the same as JWT_SECRET" in said
    assert "password" in refused(DATABASE_URL="postgresql://postgres@postgres/ecotrips?password=postgres")
    own = FIT["DATABASE_URL"].split(":")[2].partition("@")[0]
    for name in ("PGPASSWORD", "PGPASSFILE"):
        for password in ("postgres", "change-me-now", "a" * 20, FIT["JWT_SECRET"]):
            (tmp_path / "pgpass").write_text(f"# ours\n*:*:*:web:{own}\nh:5432:d\\:b:u:{password}\n")
            value = password if name == "PGPASSWORD" else str(tmp_path / "pgpass")
            said = refused(**{name: value})
            assert re.search(rf"(  (a password in )?| as (a password in )?){name}( is |$)", said, re.MULTILINE)
            assert password not in said
        (tmp_path / "pgpass").write_text(f"*:*:*:*:{own}\n*:*:*:*:{in_hex(16)}\n")
        from_environment(FIT | {name: own if name == "PGPASSWORD" else str(tmp_path / "pgpass")})
    for password, well in (("postgres", False), (FIT["JWT_SECRET"], False), (own, True)):
        (tmp_path / "pgpass").write_text(f"*:*:*:*:{password}\n")
        for name in ("DATABASE_URL", "DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL"):
            address = f"postgresql://postgres@postgres/ecotrips?passfile={tmp_path}/pgpass"
            if well:
                from_environment(FIT | {name: address})
            else:
                said = refused(**{name: address})
                assert "a password in the passfile of " in said
                assert password not in said
    same = FIT["DATABASE_URL"].replace("@postgres:", "@standby:")
    from_environment(FIT | {"DATABASE_REPLICA_URL": same, "DATABASE_DIRECT_URL": FIT["DATABASE_URL"]})
    from_environment(FIT | {"DATABASE_URL": "postgresql:///ecotrips?host=/run/postgresql"})


@pytest.mark.parametrize(
    ("host", "query", "well"),
    [
        ("127.0.0.1", "", True),
        ("[::1]", "", True),
        ("postgres", "", True),
        ("10.1.2.3", "", True),
        ("db.internal", "", True),
        ("", "?host=/run/postgresql", True),
        ("db.example.org", "", False),
        ("db.example.org", "?sslmode=disable", False),
        ("db.example.org", "?sslmode=prefer", False),
        ("db.example.org", "?sslmode=require", True),
        ("db.example.org", "?sslmode=verify-full", True),
        ("8.8.8.8", "", False),
        ("[2001:4860:4860::8888]", "", False),
        ("postgres,db.example.org:5433", "", False),
        ("", "?host=db.example.org", False),
        ("", "?host=2001:4860:4860::8888", False),
        ("postgres", "?host=db.example.org", False),
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL"])
def test_a_database_that_is_not_near_is_reached_by_tls(name: str, host: str, query: str, *, well: bool) -> None:
    changes = {name: f"postgresql://postgres:{letters(20)}@{host}/ecotrips{query}"}
    if well:
        from_environment(FIT | changes)
    else:
        assert f"{name} must say sslmode=" in refused(**changes)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        *(({name: "mock" if name == "OPS_REFUND_MODE" else "1"}, f"{name}=") for name in list(LIVE_SWITCHES)[:5]),
        ({"RATE_LIMITS": "0"}, "RATE_LIMITS=0 is not allowed"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,0.0.0.0/0"}, "TRUSTED_PROXIES trusts everybody"),
        ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES trusts everybody"),
        ({"TRUSTED_PROXIES": "proxy"}, "TRUSTED_PROXIES must be IP networks"),
        ({"STORAGE_URL": ""}, "STORAGE_URL is not set"),
        ({"STORAGE_URL": "memory://"}, "STORAGE_URL keeps files only until"),
        ({"STORAGE_URL": "gs://bucket"}, "STORAGE_URL must begin with"),
        ({"STORAGE_URL": "/var/lib/files"}, "STORAGE_URL must begin with"),
        ({"AWS_ALLOW_HTTP": "true"}, "AWS_ALLOW_HTTP is not allowed"),
        ({"PUBLIC_URL": ""}, "PUBLIC_URL is not set"),
        ({"PUBLIC_URL": "http://ops.ecotrips.africa"}, "PUBLIC_URL must be an https"),
        ({"PUBLIC_URL": "https://user:word@ops.ecotrips.africa"}, "PUBLIC_URL must not hold credentials"),
        ({"PUBLIC_URL": "https://localhost"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://10.0.0.7"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "ops.ecotrips.africa"}, "PUBLIC_URL must be an https"),
        ({"PUBLIC_URL": "https://"}, "PUBLIC_URL must be an https"),
        ({"PUBLIC_URL": "https://["}, "PUBLIC_URL must be an https"),
        ({"HBX_BASE_URL": ""}, "HBX_BASE_URL is not set"),
        ({"HBX_BASE_URL": "https://api.test.hotelbeds.com"}, "HBX_BASE_URL is Hotelbeds' test host"),
        ({"HBX_BASE_URL": "https://API.TEST.hotelbeds.com/"}, "HBX_BASE_URL is Hotelbeds' test host"),
        ({"HBX_BASE_URL": "http://api.hotelbeds.com"}, "HBX_BASE_URL must be an https"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:12111"}, "STRIPE_API_BASE must be an https"),
        ({"STRIPE_API_BASE": "https://u:p@api.stripe.com"}, "STRIPE_API_BASE must not hold credentials"),
        ({"WA_GRAPH_BASE": "http://graph.facebook.com"}, "WA_GRAPH_BASE must be an https"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be"),
        ({"CORS_ORIGINS": "https://ops.ecotrips.africa,http://ops.ecotrips.africa"}, "CORS_ORIGINS must be"),
        ({"CORS_ORIGINS": "https://ops.ecotrips.africa/"}, "CORS_ORIGINS must be an origin"),
        ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS must be"),
        ({"JWT_JWKS": '{"keys":[]}'}, "JWT_ISSUER is not set"),
        ({"JWT_JWKS": '{"keys":[]}'}, "JWT_AUDIENCE is not set"),
        ({"JWT_JWKS": '{"keys":[]}'}, "JWT_JWKS holds no key"),
        ({"JWT_JWKS": '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'}, "JWT_JWKS holds a secret"),
        ({"JWT_JWKS": '{"keys":[{"kty":"RSA","n":"x","e":"AQAB","d":"x"}]}'}, "JWT_JWKS holds a private key"),
        ({"JWT_JWKS": '{"keys":[{"kty":"RSA"},{"kty":"oct","k":"c2VjcmV0"}]}'}, "JWT_JWKS holds a secret"),
        ({"JWT_JWKS": "{"}, "JWT_JWKS is no JWKS"),
        ({"JWT_JWKS": "/nowhere/jwks.json"}, "JWT_JWKS is no JWKS"),
        ({"STORAGE_URL": "s3://"}, "STORAGE_URL must name a bucket"),
        ({"STORAGE_URL": "s3:///prefix"}, "STORAGE_URL must name a bucket"),
        ({"STORAGE_URL": "s3://key:word@bucket"}, "STORAGE_URL must name a bucket"),
        ({"STORAGE_URL": "file://"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file:///"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file://host/data"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file://data/storage"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file:///etc/passwd"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file:///etc/passwd/files"}, "STORAGE_URL must name a folder"),
        ({"STORAGE_URL": "file:///a\0b"}, "STORAGE_URL"),
        ({"STORAGE_URL": "s3://bucket-"}, "STORAGE_URL must name a bucket"),
        *(
            ({"STORAGE_URL": f"file://{place}"}, "STORAGE_URL must name a folder that lasts")
            for place in (
                *("/tmp", "/tmp/", "/tmp/files", "/var/tmp/files", "/dev/shm/files", "/run/ecotrips"),  # noqa: S108
                *("/var/run/ecotrips", "/proc/1", "/sys/files", "/srv/../tmp/files", "//tmp/files", "/dev"),
            )
        ),
        ({"PUBLIC_URL": "https://ops.ecotrips.africa?a=b"}, "PUBLIC_URL must end before"),
        ({"PUBLIC_URL": "https://ops.ecotrips.africa/#a"}, "PUBLIC_URL must end before"),
        ({"PUBLIC_URL": "https://ops.ecotrips.africa?"}, "PUBLIC_URL must end before"),
        ({"PUBLIC_URL": "https://example.com"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://www.Example.org/"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://ops.test"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://ops.example"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://ops.invalid"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://127.0.0.1.nip.io"}, "PUBLIC_URL must name a public host"),
        *(
            ({setting: f"https://{name}"}, f"{setting} must name a public host")
            for setting in ("PUBLIC_URL", "STRIPE_API_BASE")
            for name in (
                *("localhost.localdomain", "x.alt", "x.test", "x.example", "x.invalid", "x.internal", "x.home.arpa"),
                *("x.local", "x.localhost", "x.onion", "x.mail", "x.corp", "x.home", "x.lan", "service.arpa"),
                *("example.com", "www.example.net", "example.org"),
            )
        ),
        ({"PUBLIC_URL": "https://8.8.8.8.nip.io"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://ops-10-0-0-7.sslip.io"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://192-168-1-4.somewhere.dev"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://0x7f.1"}, "PUBLIC_URL must name a public host"),
        ({"PUBLIC_URL": "https://ops.ecotrips.africa."}, "PUBLIC_URL must name a public host"),
        *(
            ({name: f"https://{host}"}, f"{name} must name a public host")
            for name in ("WA_GRAPH_BASE", "STRIPE_API_BASE", "HBX_BASE_URL")
            for host in ("localhost", "169.254.169.254", "[::1]", "metadata.google.internal", "2852039166", "stripe")
        ),
        ({"CORS_ORIGINS": "https://*"}, "CORS_ORIGINS must be an origin"),
        ({"CORS_ORIGINS": "https://*.ecotrips.africa"}, "CORS_ORIGINS must be an origin"),
        ({"CORS_ORIGINS": "https://ops.ecotrips.africa?"}, "CORS_ORIGINS must end before"),
        ({"WA_PHONE_ID": " "}, "WA_PHONE_ID is not set"),
        ({"STRIPE_PAYOUT_ACCOUNT": "acct_your_account"}, "STRIPE_PAYOUT_ACCOUNT is a placeholder"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "mysql://db/ecotrips"}, "DATABASE_URL: a database's URL must begin with"),
        ({"DATABASE_URL": "postgresql://[db/ecotrips?sslmode=verify-full"}, "DATABASE_URL: a host of"),
        ({"PORT": "eighty"}, "PORT must be a whole number"),
    ],
)
def test_production_refuses_and_says_which(change: dict[str, str], complaint: str) -> None:
    assert complaint in refused(**change)


@pytest.mark.parametrize("host", ["ec2-3-80-1-2.compute.amazonaws.com", "v1-2-3.ecotrips.africa"])
def test_a_public_host_may_have_numbers_in_its_name(host: str) -> None:
    from_environment(FIT | {"PUBLIC_URL": f"https://{host}/ops"})


@pytest.mark.parametrize(
    "networks",
    [
        "0.0.0.0/1,128.0.0.0/1",
        "0.0.0.0/2,64.0.0.0/2,128.0.0.0/2,192.0.0.0/2",
        "::/1,8000::/1",
        "2000::/3",
        "2000::/16",
        "::ffff:0:0/96",
        "::ffff:0:0/97,::ffff:8000:0/97",
        "::ffff:100:0/104",
        "::/80",
        "64:ff9b::/96",
        "1.0.0.0/8",
        "10.0.0.0/7",
        "0.0.0.0/5",
        ",".join(f"{first}.0.0.0/8" for first in range(1, 224)),
        ",".join(f"{first}.0.0.0/9" for first in range(11, 100, 2)),
        ",".join(f"8.{second}.0.0/16" for second in range(256)),
        ",".join(f"{first}.0.0.0/12" for first in range(20, 90)),
        ",".join(f"2{first:03x}::/20" for first in range(256)),
    ],
)
def test_proxies_are_not_everybody_in_parts(networks: str) -> None:
    assert "TRUSTED_PROXIES trusts everybody, or nearly" in refused(TRUSTED_PROXIES=networks)


def test_proxies_may_be_private_networks_and_those_of_a_cdn() -> None:
    private = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7,fe80::/10,127.0.0.0/8,::1/128"
    # Cloudflare's and Akamai's own lists, the widest that are published.
    cloudflare = "104.16.0.0/13,104.24.0.0/14,162.158.0.0/15,172.64.0.0/13,131.0.72.0/22,2400:cb00::/32,2a06:98c0::/29"
    akamai = "104.64.0.0/10,23.32.0.0/11,23.192.0.0/11,23.0.0.0/12,184.24.0.0/13,2.16.0.0/13,2600:1400::/24"
    for networks in (private, f"{private},{cloudflare}", akamai, "::ffff:10.0.0.0/104", "203.0.113.7/32"):
        assert from_environment(FIT | {"TRUSTED_PROXIES": networks}).trusted_proxies


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "http://127.0.0.1:9000") for name in STORE_ADDRESSES),
        *((name, "http://minio:9000") for name in STORE_ADDRESSES),
        ("AWS_ENDPOINT_URL", "//minio:9000"),
        ("AWS_ENDPOINT_URL_S3", "https://key:word@minio:9000"),
        ("AWS_METADATA_ENDPOINT", "http://metadata.evil.com"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23.evil.com/v1"),
        *((name, "true") for name in STORE_WEAKENED),
        ("AWS_SKIP_SIGNATURE", "1"),
        ("AWS_SKIP_SIGNATURE", "Yes"),
        ("AWS_SKIP_SIGNATURE", ""),
        ("AWS_Skip_Signature", "true"),
        ("AWS_Endpoint_Url", "http://minio:9000"),
        ("AWS_PROXY_URL", "http://proxy:3128"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.com/x"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ".evil.com/x"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ":80@evil.com"),
        ("AWS_REGION", "evil.com/x"),
        ("AWS_DEFAULT_REGION", "@evil.com:443#"),
    ],
)
def test_files_go_to_s3_by_https_and_signed(name: str, value: str) -> None:
    said = refused(**{name: value})
    assert re.search(rf"  {name}(=\w+)? (is not allowed|must be|must not)", said)
    assert "key:word" not in said
    from_environment(FIT | {name: value, "STORAGE_URL": "file:///data/storage"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "https://minio.internal:9000"),
        ("AWS_SKIP_SIGNATURE", "false"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/8f5c-1a"),
        ("AWS_REGION", "eu-west-1"),
    ],
)
def test_what_platforms_set_is_fit(name: str, value: str) -> None:
    from_environment(FIT | {name: value})


# What the library of S3 reads and weakens nothing; a new release's names have to be looked at.
HARMLESS_OF_STORES = {
    *("access_key_id", "secret_access_key", "token", "session_token", "bucket"),
    *("checksum_algorithm", "conditional_put", "copy_if_not_exists", "disable_tagging", "disable_bulk_delete"),
    *("container_authorization_token_file", "web_identity_token_file"),
    *("role_arn", "role_session_name", "request_payer", "s3_express", "server_side_encryption", "sse_kms_key_id"),
    *("sse_bucket_key_enabled", "sse_customer_key_base64", "virtual_hosted_style_request"),
    *("connect_timeout", "timeout", "read_timeout", "default_content_type", "default_headers", "user_agent"),
    *("http1_only", "http2_only", "http2_keep_alive_interval", "http2_keep_alive_timeout"),
    *("http2_keep_alive_while_idle", "pool_idle_timeout", "pool_max_idle_per_host", "randomize_addresses"),
    *("proxy_excludes",),
}


def test_every_name_that_the_library_of_s3_knows_was_looked_at() -> None:
    stubs = Path(obstore.__file__).parent / "_store"
    declared = (stubs / "_aws.pyi").read_text().partition("class S3Config")[2].partition("\nclass ")[0]
    declared += (stubs / "_client.pyi").read_text()
    names = set(re.findall(r"^    ([a-z0-9_]+): ", declared, re.MULTILINE))
    assert len(names) > 40
    judged = {*STORE_ADDRESSES, *CREDENTIALS_ADDRESSES, *STORE_PARTS, *STORE_WEAKENED}
    assert {f"AWS_{name.removeprefix('aws_')}".upper() for name in names - HARMLESS_OF_STORES} <= judged


async def test_a_store_of_production_speaks_no_plain_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says: nobody listens at the port, and somebody would have to."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for name, value in (("ALLOW_HTTP", "true"), ("SKIP_SIGNATURE", "true"), ("ACCESS_KEY_ID", "k")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    async with server:
        with pytest.raises(Unavailable):
            await store_at("s3://bucket", tmp_path, only_https=True).head(ObjectName("travellers", "a"))
        assert heard == []
        with pytest.raises(NotFound):
            await store_at("s3://bucket", tmp_path, only_https=False).head(ObjectName("travellers", "a"))
        assert b"AWS4-HMAC-SHA256" in heard[0]


def test_what_is_no_mock_may_be_paused_from_the_start() -> None:
    settings = from_environment(FIT | {"PAYOUTS_PAUSED": "1"})
    assert settings.switches["PAYOUTS_PAUSED"] == "1"


def test_files_do_not_lead_to_memory_or_what_is_swept_by_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory(prefix=".ecotrips-test-", dir=Path.home()) as folder:
        from_environment(FIT | {"STORAGE_URL": f"file://{folder}/files"})
        (Path(folder) / "files").symlink_to(tmp_path)
        assert "a folder that lasts: /tmp" in refused(STORAGE_URL=f"file://{folder}/files/ours")
        monkeypatch.setattr(files, "SWEPT", ())
        with disk("1m") as memory:
            for place in (memory, memory / "not" / "yet"):
                assert "a folder that lasts: that one is in memory" in refused(STORAGE_URL=place.as_uri())


@pytest.mark.parametrize("ended", ["", "/files", "/files/not/yet"])
def test_files_are_not_kept_where_everybody_may_write(ended: str) -> None:
    with TemporaryDirectory(prefix=".ecotrips-test-", dir=Path.home()) as folder:
        place = Path(folder + ended)
        from_environment(FIT | {"STORAGE_URL": place.as_uri()})
        for open_one in {Path(folder), *(path for path in (place, Path(folder) / "files") if path.exists())}:
            for mode in (0o757, 0o1777):
                open_one.chmod(mode)
                assert "not everybody may write" in refused(STORAGE_URL=place.as_uri())
            open_one.chmod(0o755)


def test_where_files_may_be_is_one_rule_but_for_how_long_they_last() -> None:
    base = {"JWT_SECRET": "x" * 32, "DATABASE_URL": "postgresql:///d"}
    for place in (
        "s3://bucket-",
        "s3:///prefix",
        "s3://a",
        "gs://b",
        "file://data",
        "file:///",
        "file:///etc/passwd",
        "x",
    ):
        with pytest.raises(SettingsError) as development:
            from_environment(base | {"STORAGE_URL": place})
        assert f"  {development.value}" in refused(STORAGE_URL=place)
    for place in ("memory://", "file:///tmp/files", "s3://bucket/prefix"):
        assert from_environment(base | {"STORAGE_URL": place}).storage_url == place


@pytest.mark.parametrize(
    "schema", ["pg_catalog", "pg_toast", "pg_temp_3", "pg_", "information_schema", *INTERNAL_SCHEMAS]
)
def test_no_installation_serves_what_is_internal_or_the_systems(schema: str) -> None:
    base = {"JWT_SECRET": "x" * 32, "DATABASE_URL": "postgresql:///d"}
    for environ in (base, FIT):
        for given in (schema, f"public,{schema}", f"{schema} ,core"):
            with pytest.raises(SettingsError, match="DB_SCHEMAS names a schema that is never served"):
                from_environment(environ | {"DB_SCHEMAS": given})
    if schema not in INTERNAL_SCHEMAS:  # over another database they are its own
        with pytest.raises(SettingsError, match=f"db-schemas does not allow schema: '{schema}'"):
            rest_settings({"PGRST_DB_SCHEMAS": f"public,{schema}"})


LEFT_OVER = {
    **dict.fromkeys(WEAKENED, "1"),
    "SSLKEYLOGFILE": "/root/keys",
    "PGSSLMINPROTOCOLVERSION": "TLSv1",
    "PGSSLMAXPROTOCOLVERSION": "tlsv1.1",
    "PYTHONINTMAXSTRDIGITS": "0",
    "STRIPE_LOG": "debug",
}


@pytest.mark.parametrize("name", WEAKENED)
def test_what_weakens_a_library_is_refused(name: str) -> None:
    assert f"  {name} is not allowed in production: " in refused(**{name: LEFT_OVER[name]})
    base = {"JWT_SECRET": "x" * 32, "DATABASE_URL": "postgresql:///d"}
    from_environment(base | {name: LEFT_OVER[name]})
    from_environment(FIT | {name: ""})


def test_what_weakens_no_library_is_fit() -> None:
    for name, value in (("PYTHONHASHSEED", "random"), ("PGSSLMINPROTOCOLVERSION", "TLSv1.3"), ("LITESTAR_DEBUG", "0")):
        from_environment(FIT | {name: value})


# What libraries read of the environment under names of their own or of TLS, and weakens nothing: addresses and files
# that are named on purpose, and what they warn of.
HARMLESS = {
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
    *("PGSSLNEGOTIATION", "PGSSLKEY", "PGSSLCERT", "PGSSLCRL", "PGKRBSRVNAME", "PGGSSLIB", "PGDATABASE"),
    *("PGSERVICE", "PGSERVICEFILE"),  # src/database/dsn.py: nothing goes by them
    *("PGTARGETSESSIONATTRS", "STRIPE_SUPPRESS_NOTICES"),
    *("LITESTAR_WARN_IMPLICIT_SYNC_TO_THREAD", "LITESTAR_WARN_SYNC_TO_THREAD_WITH_ASYNC"),
    *("LITESTAR_WARN_SYNC_TO_THREAD_WITH_GENERATOR", "LITESTAR_WARN_SIGNATURE_NAMESPACE_OVERRIDE"),
}
THEIRS = re.compile("PG|SSL|OPENSSL|CURL|REQUESTS|NETRC|PYTHON|STRIPE_|LITESTAR_|GRANIAN|HTTPX|JWT|OBSTORE|URLLIB")
READS = re.compile(r"(?:environ(?:\.get\(|\[|\.pop\()|getenv\()\s*[\"'](\w+)[\"']|[\"']([A-Z_]+)[\"'] in os\.environ")
UNUSED = re.compile(r"/(cli|cluster|_testbase|testing|auth/earthdata|auto_instrumentation)\b")


def test_every_name_that_a_library_of_ours_reads_was_looked_at() -> None:
    folder = Path(obstore.__file__).parents[1]
    found = {
        name: file
        for package in (
            "asyncpg",
            "granian",
            "httpcore",
            "httpx",
            "jwt",
            "litestar",
            "obstore",
            "requests",
            "stripe",
            "urllib3",
        )
        for file in (folder / package).rglob("*.py")
        if not UNUSED.search(file.as_posix())
        for name in (a or b for a, b in READS.findall(file.read_text()))
        if THEIRS.match(name)
    }
    assert {"SSLKEYLOGFILE", "LITESTAR_DEBUG", "STRIPE_LOG", "PGPASSWORD"} <= set(found), "nothing was looked at"
    known = {*WEAKENED, *HARMLESS, *(row.name for row in rows())}
    assert {name: file for name, file in found.items() if name.upper() not in known} == {}


@pytest.mark.parametrize("kind", ["", "TRACES_", "METRICS_"])
def test_a_collector_that_is_not_near_is_reached_by_tls(kind: str) -> None:
    name = f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT"
    for host in ("otel.example.org", "8.8.8.8", "134744072", "[2001:4860:4860::8888]", "127.0.0.1.nip.io"):
        assert f"{name} must be an https address" in refused(**{name: f"http://{host}:4318"})
        from_environment(FIT | {name: f"https://{host}:4318"})
    assert f"{name} must be an http or https address" in refused(**{name: "collector:4318"})
    for host in ("collector", "127.0.0.1", "[::1]", "otel.internal", "10.0.0.7"):
        from_environment(FIT | {name: f"http://{host}:4318"})


@pytest.mark.parametrize(
    "query", ["sslkeylogfile=/tmp/k", "ssl_min_protocol_version=TLSv1", "ssl_max_protocol_version=TLSv1.1"]
)
def test_an_address_of_a_database_weakens_no_tls(query: str) -> None:
    for name in ("DATABASE_URL", "DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL"):
        assert f"{name} must not " in refused(**{name: f"{FIT['DATABASE_URL']}?sslmode=require&{query}"})


def test_files_may_be_kept_on_one_host_when_that_is_said() -> None:
    assert from_environment(FIT | {"STORAGE_URL": "file:///data/storage"}).storage_url == "file:///data/storage"


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"ECOTRIPS_ENV": "production", "USE_FIXTURES": "1", "PORT": "x"})
    said = str(caught.value)
    wanted = [name for name in FIT if name not in ("ECOTRIPS_ENV", "JWT_PREVIOUS_SECRETS")]
    assert [name for name in (*wanted, "USE_FIXTURES", "PORT") if f"  {name}" not in said] == []


ASSIGNED = re.compile(r"\b([A-Z][A-Z_]+)[\"']?\s*[=:]\s*[f]?[\"']?([^\s\"',;|&)}]{4,})")


def shown_values() -> Iterator[tuple[str, str]]:
    """Every value that a tracked file of ours shows for a secret."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.yaml", "*.yml", "*.sh", "tests/*.py", "bench/*.py", "Makefile"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        for setting, value in ASSIGNED.findall((ROOT / name).read_text()):
            if setting in SECRETS and not re.search(r"[${(\[…]|^[a-z]+\.", value):
                yield setting, value


def test_no_secret_of_our_own_guides_and_tests_is_fit() -> None:
    found = set(shown_values())
    assert len(found) > 3
    forms = {"STRIPE_SECRET_KEY": STRIPE_KEY, "STRIPE_WEBHOOK_SECRET": STRIPE_SIGNING, "HBX_API_KEY": HBX_KEY}
    for setting, value in found:
        assert weakness(value, {**forms, "HBX_API_SECRET": HBX_SECRET}.get(setting, OURS)), (setting, value)


@pytest.mark.parametrize("word", ["Production", "prod", "PRODUCTION", "production ", " production", "live", "staging"])
def test_an_environment_that_is_unknown_is_refused(word: str) -> None:
    for environ in ({"ECOTRIPS_ENV": word}, FIT | {"ECOTRIPS_ENV": word}):
        with pytest.raises(SettingsError, match="ECOTRIPS_ENV must be production or development, or not set; what"):
            from_environment(environ)


def test_development_has_a_name() -> None:
    given = {"ECOTRIPS_ENV": "development", "JWT_SECRET": "x", "DATABASE_URL": "postgresql:///none"}
    assert not from_environment(given).production


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["serve"],
        ["worker", "--once"],
        ["rest"],
        ["check"],
        ["db", "status"],
        ["db", "apply"],
        ["db", "seed"],
        ["psql"],
        ["flags", "list"],
        ["flags", "set", "STRIPE_MOCK_MODE=1"],
        ["circuit", "show"],
        ["ledger", "verify"],
        ["token", "anon"],
    ],
    ids=" ".join,
)
def test_every_command_refuses_an_unknown_environment(tmp_path: Path, command: list[str]) -> None:
    ran = ecotrips(tmp_path, *command, ECOTRIPS_ENV="Production")
    assert ran.returncode == 1
    assert (
        ran.stderr
        == "ecotrips: ECOTRIPS_ENV must be production or development, or not set; what is set has 10 characters\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["demo"], ["db", "seed", "--demo"], ["flags", "list"]])
def test_no_command_of_an_unfit_production_begins_anything(tmp_path: Path, command: list[str]) -> None:
    ran = ecotrips(tmp_path, *command, ECOTRIPS_ENV="production", DATA_DIR="data", STRIPE_MOCK_MODE="1")
    assert ran.returncode == 1
    assert "not fit for production:\n" in ran.stderr
    assert "DATABASE_URL is not set" in ran.stderr
    assert list(tmp_path.iterdir()) == []
