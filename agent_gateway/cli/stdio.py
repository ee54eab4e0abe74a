"""`agent-gateway stdio`: the gateway for clients that start a program and speak MCP on its standard streams."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from agent_gateway.bridge.bridge import Bridge
from agent_gateway.bridge.standard_streams import LineReader, LineWriter
from agent_gateway.cli.door import Door
from agent_gateway.cli.local import agent_token, resource_named
from agent_gateway.cli.session import Failure, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings

STDIN: Final = 0
STDOUT: Final = 1
MAX_CONNECTIONS: Final = 300  # one for each request that runs, and the session's stream
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


def stdio(
    context: typer.Context,
    agent: Annotated[str, typer.Option("--as", help="The agent that calls; its token is made here.")] = "",
    toolset: Annotated[str, typer.Option(help="Reach this toolset, or servers/NAME.")] = "mcp",
    url: Annotated[str, typer.Option(help="Reach this endpoint, of a gateway elsewhere.")] = "",
    token_env: Annotated[str, typer.Option(help="Variable that holds the token, with --url.")] = "",
) -> None:
    """Speak MCP on standard input and output, and carry it to the running gateway.

    Example: `agent-gateway stdio --as first-agent`
    """
    if bool(agent) == bool(url):
        raise Failure("name an agent with --as, or an endpoint with --url and --token-env", exit_code=2)
    if url:
        way = Way(_endpoint(url), _from_environment(token_env))
    else:
        loaded = session_of(context).load()
        resource = resource_named(loaded, toolset)
        if resource == loaded.config.listeners.admin.token_audience:
            raise Failure("the admin API serves no tools", exit_code=2)
        way = Way(_dialled(loaded, resource), LocalTokens(loaded, agent, resource))
    asyncio.run(_carry(way))


@dataclass(slots=True)
class LocalTokens:
    """Tokens of one agent for one endpoint, made with the keys of the data directory."""

    loaded: Loaded
    agent: str
    resource: str
    _token: str = ""
    _until: float = 0.0

    def __call__(self, is_refused: bool) -> str:
        """Return a token with a good part of its life before it; a new one when the last was refused."""
        if is_refused or time.monotonic() >= self._until:
            self._token = agent_token(self.loaded, self.agent, self.resource)
            self._until = time.monotonic() + self.loaded.config.token_service.access_token_ttl_s * 0.8
        return self._token


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A token that somebody gave us."""

    text: str = field(repr=False)

    def __call__(self, is_refused: bool) -> str:
        del is_refused
        return self.text


@dataclass(frozen=True, slots=True)
class Way:
    """Where messages go, and as whom."""

    url: str
    token: LocalTokens | FixedToken


def _from_environment(name: str) -> FixedToken:
    text = os.environ.get(name, "") if name else ""
    if not text or not text.isascii() or not text.isprintable():
        raise Failure("--url needs --token-env: the name of a variable that holds a token", exit_code=2)
    return FixedToken(text)


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    is_local = parts.hostname in _LOOPBACK
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_local)):
        raise Failure("--url is an https URL, or an http one on this machine", exit_code=2)
    return url


def _dialled(loaded: Loaded, resource: str) -> str:
    """Return the URL to dial: the bound address where that is a name of this machine, else the public one."""
    listener = loaded.config.listeners.data
    if listener.host not in _LOOPBACK:
        return resource
    return Door(listener).address + resource.removeprefix(listener.url)


async def _carry(way: Way) -> None:
    """Carry messages until the client closes its side, or a signal ends this."""
    pool = HttpPool(PoolSettings(rules=EgressRules(allow_private=True), max_connections=MAX_CONNECTIONS))
    bridge = Bridge(way.url, pool, way.token, LineWriter(STDOUT).write)
    task = asyncio.ensure_future(bridge.run(LineReader(STDIN).lines()))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
