"""What tests of upstreams need around them: settings for loopback, a sink that keeps, a clock that waits."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson
from msgspec import Raw

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import AskRefused, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams.build import build_upstream
from agent_gateway.upstreams.mcp_http import HttpUpstream
from agent_gateway.upstreams.mcp_stdio import StdioUpstream
from agent_gateway.upstreams.settings import UpstreamSettings
from gateway_policies.principal import Principal
from support.principals import ALICE

LOCAL = EgressRules(allow_private=True)


@dataclass
class FakeClock:
    """Time that passes when a test says so."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class KeepingSink:
    """Keeps every message; `first` is set by the first one. `answer` is asked what upstreams ask."""

    answer: Callable[[str], Awaitable[Raw]] | None = None
    messages: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    asked: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    first: anyio.Event = field(default_factory=anyio.Event)

    async def notify(self, method: str, params: Raw | None) -> None:
        self.messages.append((method, orjson.loads(bytes(params)) if params is not None else None))
        self.first.set()

    async def ask(self, method: str, params: Raw | None, progressed: object = None) -> Raw:
        self.asked.append((method, orjson.loads(bytes(params)) if params is not None else None))
        if self.answer is None:
            raise AskRefused(Raw(b'{"code":-32601,"message":"ask somebody else"}'))
        return await self.answer(method)


async def bearer_of(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
    """A credential of its own for each principal."""
    return [(b"authorization", b"Bearer upstream-token-of-" + principal.id.encode())]


def http_settings(url: str, **more: Any) -> UpstreamSettings:
    return UpstreamSettings("fixture", "http", url=url, rules=LOCAL, **more)


def stdio_settings(command: Sequence[str], **more: Any) -> UpstreamSettings:
    return UpstreamSettings("fixture", "stdio", command=command[0], args=tuple(command[1:]), **more)


@asynccontextmanager
async def open_http(settings: UpstreamSettings, clock: FakeClock | None = None) -> AsyncGenerator[HttpUpstream]:
    """An upstream that is closed with the block."""
    made = build_upstream(settings, credentials=bearer_of, clock=clock or FakeClock(), environ={})
    assert isinstance(made, HttpUpstream)
    try:
        with anyio.fail_after(60):
            yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def open_stdio(
    settings: UpstreamSettings, clock: FakeClock | None = None, environ: Mapping[str, str] = os.environ
) -> AsyncGenerator[StdioUpstream]:
    """An upstream whose children end with the block."""
    made = build_upstream(settings, credentials=bearer_of, clock=clock or FakeClock(), environ=environ)
    assert isinstance(made, StdioUpstream)
    try:
        with anyio.fail_after(60):
            yield made
    finally:
        await made.aclose()


def call(tool: str, arguments: Mapping[str, object] | None = None, **more: Any) -> UpstreamRequest:
    """A `tools/call` as the pipeline would send it."""
    params = {"name": Raw(orjson.dumps(tool)), "arguments": Raw(orjson.dumps(arguments or {}))}
    options: dict[str, Any] = {"principal": ALICE, "timeout_s": 30.0, "name_header": tool} | more
    return UpstreamRequest("tools/call", params, **options)


def text_of(answer: UpstreamAnswer) -> str:
    """The first text of a tool's result."""
    assert answer.result is not None, bytes(answer.error or b"").decode()
    return orjson.loads(bytes(answer.result))["content"][0]["text"]
