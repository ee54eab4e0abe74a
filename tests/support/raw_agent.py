"""An A2A agent made of plain bytes: a card, and answers that say exactly what a test wants."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from support.raw_http import Peer, raw_server

WELL_KNOWN = b"/.well-known/agent-card.json"
Say = Callable[["Asked"], Awaitable[None]]


@dataclass
class Asked:
    """One request as it arrived."""

    peer: Peer
    line: bytes
    head: dict[bytes, bytes]
    body: bytes


@dataclass
class RawAgent:
    """A running agent of bytes; `asked` is what it was sent besides its card."""

    port: int = 0
    card: bytes = b""
    asked: list[Asked] = field(default_factory=list[Asked])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def entry(self, name: str, more: str = "") -> str:
        """Return its lines of configuration."""
        return f"  {name}: {{kind: a2a, url: '{self.url}', allow_private: true{more}}}\n"


def card(url: str, **more: object) -> bytes:
    """Return a plain 1.0 card."""
    interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    plain = {
        "name": "Raw", "description": "says bytes", "version": "1", "supportedInterfaces": [interface],
        "capabilities": {"streaming": True}, "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"], "skills": [],
    }  # fmt: skip
    return orjson.dumps({**plain, **more})


def http(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    """Return a whole HTTP answer."""
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body)


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def saying(*answers: bytes) -> Say:
    """Return a behaviour that answers each request with these bytes, and closes."""

    async def say(asked: Asked) -> None:
        for answer in answers:
            await asked.peer.say(answer)

    return say


@asynccontextmanager
async def raw_agent(say: Say, make_card: Callable[[str], bytes] = card) -> AsyncGenerator[RawAgent]:
    """Serve a card, and everything else with `say`, until the block ends."""
    agent = RawAgent()

    async def behave(peer: Peer) -> None:
        while True:
            line, head, body = await peer.request()
            if not line:
                return
            if line.split(b" ")[1] == WELL_KNOWN:
                await peer.say(http(agent.card))
                continue
            asked = Asked(peer, line, head, body)
            agent.asked.append(asked)
            await say(asked)
            if head.get(b"accept", b"").startswith(b"text/event-stream"):
                return

    async with raw_server(behave) as server:
        agent.port = server.port
        agent.card = make_card(f"http://127.0.0.1:{server.port}/rpc")
        yield agent
