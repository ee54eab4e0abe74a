"""The gateway as the OAuth client that the suite tests: how it is configured for a scenario, and who consents.

The suite's servers want a token; its authorization servers send whoever comes straight back. So the person of
`agent-gateway login` is a client that follows redirects, and an operator who logs in again when a call asks for it.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.grants.discovery import find_resource
from agent_gateway.grants.login import knock, login
from agent_gateway.grants.web import Web
from agent_gateway.runtime.grant_settings import discovered_of, web_of
from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.scenes import FILES, world

PATH: Final = "/servers/up/mcp"
RUN_TIMEOUT_S: Final = 60.0
LOGINS: Final = 3  # an operator who is asked more often than that goes and looks why
CIMD: Final = "https://conformance-test.local/client-metadata.json"  # the suite's word for the URL of a client


async def drive(url: str, scenario: str, version: str, context: Mapping[str, Any]) -> None:
    """List and call through a gateway whose one upstream is the suite's server; raises when it cannot."""
    auth, files = await _auth(url, scenario, context)
    entry = f"  up: {{url: '{url}', allow_private: true, auth: {auth}, tools: {{'*': {{risk: 1}}}}}}\n"
    with tempfile.TemporaryDirectory() as folder, anyio.fail_after(RUN_TIMEOUT_S):
        async with gateway(Path(folder), world([entry]), **FILES, **files) as gate:
            is_asked = "authorization_code" in auth
            for _ in range(LOGINS if is_asked else 1):
                if is_asked:
                    await _log_in(gate)
                if await _is_served(gate, version):
                    return
    raise SystemExit("no call came through")


async def _auth(url: str, scenario: str, context: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the `auth` of the upstream, and the files that it names."""
    if "private_key_pem" in context:
        auth = f"{{kind: discover, client_id: {context['client_id']}, client_key: 'file:client.pem'}}"
        return auth, {"client__pem": context["private_key_pem"]}
    if "valid_jwt" in context:
        auth = f"{{kind: discover, grant: jwt_bearer, issuer: '{await _issuer(url)}', assertion: 'file:workload.jwt'}}"
        return auth, {"workload__jwt": context["valid_jwt"]}
    if "client_secret" in context:
        grant = "client_credentials" if "client-credentials" in scenario else "authorization_code"
        issuer = context.get("issuer") or await _issuer(url)
        return (
            f"{{kind: discover, grant: {grant}, client_id: {context['client_id']}, issuer: '{issuer}', "
            "client_secret: 'file:client.secret'}"
        ), {"client__secret": context["client_secret"]}
    known = f", client_id: '{CIMD}'" if scenario == "auth/basic-cimd" else ""
    return f"{{kind: discover, grant: authorization_code{known}}}", {}


async def _issuer(url: str) -> str:
    """Return what an operator finds out before a secret is written down: who will get it."""
    async with ControlClient(EgressRules(allow_private=True)) as client:
        web = Web(client, allow_http=True)
        return (await find_resource(web, url, await knock(web, url))).issuers[0]


async def _log_in(gate: TestGateway) -> None:
    loaded = gate.worker.keeper.loaded
    settings = discovered_of("up", loaded.config.upstreams["up"], loaded)  # type: ignore[arg-type]
    assert settings is not None
    await login(settings, web_of(settings, allow_private=True), gate.worker.gateway.services.clock, _consent)


async def _consent(url: str) -> None:
    async with httpx2.AsyncClient(follow_redirects=True) as browser:
        await browser.get(url)


async def _is_served(gate: TestGateway, version: str) -> bool:
    await gate.worker.keeper.refresh(gate.worker.gateway)
    mode = "auto" if version in MODERN_PROTOCOL_VERSIONS else "legacy"
    async with (
        gate.client(gate.token("planner", PATH)) as http,
        Client(streamable_http_client(PUBLIC_URL + PATH, http_client=http), mode=mode) as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        try:
            for name in names:
                await client.call_tool(name, {})
        except MCPError:
            return False
        return bool(names)
