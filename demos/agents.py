"""The agents on stage: the official MCP SDK as a client, finding its way in by OAuth client credentials."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp_types import ElicitRequestParams, ElicitResult, TextContent, TextResourceContents

from demos.stage import Stage

TIMEOUT_S = 30.0
DEGRADED = "agent-gateway/degraded"
REASON = "agent-gateway/refusal"


class Wallet:
    """Where one agent keeps its token while it runs."""

    def __init__(self) -> None:
        self.token: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.token = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: `text` of a result, or a refusal with its code, reason, hint and call id."""

    text: str = ""
    is_error: bool = False
    code: str = ""
    reason: str = ""
    hint: str = ""
    call: str = ""

    @property
    def is_ok(self) -> bool:
        return not (self.is_error or self.code)


@dataclass(frozen=True, slots=True)
class Listed:
    """The tools that one list named, and what it said is missing."""

    names: tuple[str, ...]
    degraded: str


@dataclass(slots=True)
class Agent:
    """One connected agent; `trail` is every HTTP exchange so far, as `METHOD path → status`."""

    name: str
    client: Client
    wallet: Wallet
    trail: list[str] = field(default_factory=list[str])

    @property
    def version(self) -> str:
        """The protocol version spoken."""
        return self.client.protocol_version

    async def tools(self) -> Listed:
        """List the tools, all pages."""
        names: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return Listed(tuple(names), str((page.meta or {}).get(DEGRADED, "")))

    async def prompt(self, name: str, /, **arguments: str) -> Answer:
        """Get a prompt; its messages, a line each."""
        try:
            result = await self.client.get_prompt(name, arguments)
        except MCPError as error:
            return refusal(error)
        said = [message.content.text for message in result.messages if isinstance(message.content, TextContent)]
        return Answer(text="\n".join(said))

    async def read(self, uri: str) -> Answer:
        """Read a resource."""
        try:
            result = await self.client.read_resource(uri)
        except MCPError as error:
            return refusal(error)
        return Answer(text="\n".join(one.text for one in result.contents if isinstance(one, TextResourceContents)))

    async def call(self, tool: str, /, **arguments: Any) -> Answer:
        """Call a tool; a refusal is an answer too."""
        try:
            result = await self.client.call_tool(tool, arguments)
        except MCPError as error:
            return refusal(error)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        return Answer(text=text, is_error=bool(result.is_error))


def refusal(error: MCPError) -> Answer:
    """Return what a JSON-RPC error says, with what this gateway adds in `data`."""
    data = cast("dict[str, dict[str, Any]]", error.error.data or {})
    facts = data.get(REASON, {})
    return Answer(
        code=str(facts.get("code", error.error.code)),
        reason=error.error.message,
        hint=str(facts.get("hint", "")),
        call=str(facts.get("call", "")),
    )


@dataclass(slots=True)
class Person:
    """The person behind an agent: answers what servers ask with a name, and remembers the questions."""

    name: str
    asked: list[str] = field(default_factory=list[str])

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        self.asked.append(params.message)
        return ElicitResult(action="accept", content={"name": self.name})


@asynccontextmanager
async def connected(
    stage: Stage, name: str, *, mode: str = "auto", path: str = "/mcp", person: Person | None = None
) -> AsyncGenerator[Agent]:
    """Connect as a configured agent that knows the endpoint, its name and its secret, and nothing else.

    mode    `auto` finds out what the server speaks, `legacy` shakes hands as before 2026
    person  answers what servers ask; None: nobody does, and the client says so
    """
    wallet, trail = Wallet(), list[str]()

    async def note(response: httpx2.Response) -> None:
        request = response.request
        trail.append(f"{request.method} {request.url.path} → {response.status_code}")

    way_in = ClientCredentialsOAuthProvider(stage.url + path, wallet, name, stage.secret(name), issuer=stage.url)
    http = httpx2.AsyncClient(auth=way_in, timeout=TIMEOUT_S, trust_env=False, event_hooks={"response": [note]})
    try:
        transport = streamable_http_client(stage.url + path, http_client=http)
        ask = None if person is None else person.answer
        async with http, Client(transport, mode=mode, elicitation_callback=ask) as client:
            yield Agent(name, client, wallet, trail)
    except BaseExceptionGroup as group:
        raise alone(group) from None


def alone(error: BaseException) -> BaseException:
    """Return what went wrong, taken out of the groups that the SDK's tasks wrap around it; of several, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
