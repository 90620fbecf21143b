"""A PostgreSQL that is reached by TLS alone (Debian's: the embedded one has no TLS), and certificates, good and bad."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from src.database.embedded import EmbeddedPostgres, running
from tests.support.cluster import MEMORY
from tests.support.processes import free_port

INSTALLED = Path("/usr/lib/postgresql")
PASSWORD = "of the TLS server"
RULES = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


class Authority:
    """Signs certificates. `file` holds its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.crt"
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._sign(self._name, self._key.public_key(), [(constraints, True)], timedelta(days=1))
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, lifetime: timedelta = timedelta(hours=1)) -> tuple[bytes, bytes]:
        """Certificate and key of a server or a client of that name; of a negative lifetime they are expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            known: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            known = x509.DNSName(name)
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        extensions = [(x509.SubjectAlternativeName([known]), False), (uses, False)]
        certificate = self._sign(subject, key.public_key(), extensions, lifetime)
        return (
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        lifetime: timedelta,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lifetime)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, SHA256())


@dataclass
class TlsServer:
    """Listens on 127.0.0.1, as `localhost` by its certificate. `good` and `other` sign certificates."""

    server: EmbeddedPostgres
    folder: Path
    good: Authority
    other: Authority

    def dsn(self, database: str = "postgres", host: str = "localhost", **options: str | None) -> str:
        """The administrator's, verified by the good authority unless the options say otherwise."""
        given = {"sslmode": "verify-full", "sslrootcert": str(self.good.file), **options}
        query = "&".join(f"{name}={quote(value)}" for name, value in given.items() if value is not None)
        return f"postgresql://postgres:{quote(PASSWORD)}@{host}:{self.server.port}/{database}?{query}"

    async def show(self, certificate: tuple[bytes, bytes] | None) -> None:
        """Prove who it is with this certificate and key from the next connection on; without any speak no TLS."""
        owner = self.server.data.stat()
        for name, content in zip(("server.crt", "server.key"), certificate or (), strict=False):
            file = self.server.data / name
            file.touch(mode=0o600)
            file.write_bytes(content)
            os.chown(file, owner.st_uid, owner.st_gid)
        rules = RULES if certificate else RULES.replace("hostssl", "host")
        (self.server.data / "pg_hba.conf").write_text(rules)
        connection = await asyncpg.connect(self.server.url("postgres"))
        try:
            await connection.execute(f"alter system set ssl = {'on' if certificate else 'off'}")
            before = await connection.fetchval("select pg_conf_load_time()")
            await connection.execute("select pg_reload_conf()")
            while await connection.fetchval("select pg_conf_load_time()") == before:
                pass
        finally:
            await connection.close()

    async def connections(self, database: str) -> list[asyncpg.Record]:
        """Who is connected to a database, and whether by TLS: login, what it runs, and `ssl`."""
        connection = await asyncpg.connect(self.server.url("postgres"))
        try:
            return await connection.fetch(
                "select a.usename, a.query, s.ssl from pg_stat_activity a join pg_stat_ssl s using (pid)"
                " where a.datname = $1 and a.backend_type = 'client backend'",
                database,
            )
        finally:
            await connection.close()


def newest_installed() -> Path | None:
    """The programs of the newest PostgreSQL that Debian's packages have put here."""
    found = [folder for folder in INSTALLED.glob("*/bin") if (folder / "postgres").exists()]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@contextmanager
def tls_server(programs: Path | None = None) -> Iterator[TlsServer]:
    """Of these programs, or Debian's. Skips the test where there are none, but not in CI, which installs them."""
    programs = programs or newest_installed()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("no server in /usr/lib/postgresql: install postgresql")
        pytest.skip("no server with TLS in /usr/lib/postgresql: install Debian's package postgresql")
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
        folder = Path(name)
        certificates = folder / "certificates"
        certificates.mkdir()
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "server", programs, durable=False, port=free_port())
        with running(server), ThreadPoolExecutor(1) as thread:
            tls = TlsServer(server, folder, Authority(certificates, "good"), Authority(certificates, "other"))
            # A test's own loop may be running already.
            thread.submit(lambda: asyncio.run(_prepare(tls))).result()
            yield tls


async def _prepare(tls: TlsServer) -> None:
    connection = await asyncpg.connect(tls.server.url("postgres"))
    await connection.execute(f"alter role postgres password '{PASSWORD}'")
    await connection.close()
    await tls.show(tls.good.issue("localhost"))
