"""The HTTP pool over TLS: the certificate is checked against the name, and trust is the upstream's own."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import AF_INET, AddressFamily

import anyio
import pytest
from anyio.lowlevel import checkpoint
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import HttpRequest
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings
from gateway_policies.refusal import UpstreamUnreachable
from support.raw_http import JSON_OK


async def to_loopback(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
    return [(AF_INET, "127.0.0.1")]


def certificate(folder: Path, host: str) -> Path:
    """Write a key and a self-signed certificate for `host`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def tls_server(path: Path) -> AsyncGenerator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(JSON_OK)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("host", "is_trusted", "code"),
    [("tools.example", True, ""), ("other.example", True, "upstream_tls"), ("tools.example", False, "upstream_tls")],
    ids=["the right name", "another name", "a stranger's certificate"],
)
async def test_only_a_trusted_certificate_for_the_name_is_accepted(
    tmp_path: Path, host: str, is_trusted: bool, code: str
) -> None:
    path = certificate(tmp_path, "tools.example")
    trust = ssl.create_default_context(cafile=str(path) if is_trusted else None)
    async with tls_server(path) as port:
        client = HttpPool(PoolSettings(rules=EgressRules(allow_private=True)), tls=trust, getaddrinfo=to_loopback)
        request = HttpRequest("GET", f"https://{host}:{port}/", ())
        with anyio.fail_after(10):
            if code:
                with pytest.raises(UpstreamUnreachable) as refusal:
                    await client.send(request, timeout_s=5)
                assert refusal.value.code == code
            else:
                for _ in range(3):
                    assert await (await client.send(request, timeout_s=5)).read(10) == b"{}"
                assert client.connection_count == 1
        await client.aclose()
        while client.connection_count:
            await checkpoint()
