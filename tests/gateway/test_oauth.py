"""From a bare 401 to a governed call, with the SDK's own OAuth client and nothing configured but a secret."""

from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp_types import TextContent

from support.bridge import StreamingTransport
from support.gateways import PUBLIC_URL, gateway
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, PLANNER_SECRET, of_kind, world


class Memory:
    """Where the SDK keeps its tokens."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


@pytest.mark.requirement("identity.token-service", "identity.challenge")
@pytest.mark.parametrize("path", ["/mcp", "/servers/raw/mcp"])
async def test_the_sdk_finds_its_way_from_a_bare_401_to_a_call(tmp_path: Path, path: str) -> None:
    memory = Memory()
    provider = ClientCredentialsOAuthProvider(
        server_url=PUBLIC_URL + path,
        storage=memory,
        client_id="planner",
        client_secret=PLANNER_SECRET,
        issuer=PUBLIC_URL,
    )
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            transport = StreamingTransport(gate.app)
            async with httpx2.AsyncClient(transport=transport, auth=provider) as http_client:
                streams = streamable_http_client(PUBLIC_URL + path, http_client=http_client)
                async with Client(streams, mode="auto") as client:
                    name = "raw__echo" if path == "/mcp" else "echo"
                    result = await client.call_tool(name, {})
            assert result.content == [TextContent(type="text", text="echo")]
            records = await gate.settled()
            assert {one["code"] for one in of_kind(records, "refusal")} == {"missing_token"}
            assert memory.tokens is not None
            assert memory.tokens.access_token not in str(records)
            assert memory.tokens.access_token.encode() not in b"".join(up.heard)
