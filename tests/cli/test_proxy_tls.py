"""``perfmw proxy`` before an origin that speaks TLS: with a certificate that is trusted, and without."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from tests.conformance.client import fetch
from tests.conformance.engine import proxied

pytestmark = pytest.mark.anyio


@dataclass
class Site:
    port: int
    scheme: str = "https"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    path = tmp_path / "site.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none) + made.public_bytes(pem))
    return path


def page(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/talk":
        return None
    response = connection.respond(200, "over TLS\n")
    response.headers["Cache-Control"] = "max-age=60"
    return response


async def backwards(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message[::-1])


@asynccontextmanager
async def site(certificate: Path) -> AsyncIterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serve(backwards, "127.0.0.1", 0, ssl=context, process_request=page) as server:
        yield Site(next(iter(server.sockets)).getsockname()[1])


async def test_pages_and_websockets(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with site(certificate) as here, proxied(here) as port:
        said = [await fetch(port, "GET", "/page", []) for _ in range(2)]
        assert [answer.body for answer in said] == [b"over TLS\n"] * 2
        assert "hit" in (said[1].get("cache-status") or "")
        async with connect(f"ws://127.0.0.1:{port}/talk", proxy=None) as client:
            await client.send("abc")
            assert await client.recv() == "cba"


async def test_a_certificate_that_nobody_vouches_for(certificate: Path) -> None:
    async with site(certificate) as here, proxied(here) as port:
        assert (await fetch(port, "GET", "/page", [])).status == 502
