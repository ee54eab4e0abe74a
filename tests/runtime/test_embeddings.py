"""Vectors from a server of embeddings: asked once for each text, held to form, and never needed."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_gateway.runtime.embeddings import MAX_NUMBERS, Embedder, EmbeddingServer
from gateway_policies.refusal import Refusal, UpstreamFailed
from support.api_backend import serving
from support.gateways import rpc
from support.market import Market, market

MEANINGS = (("bargain", "items", "search"), ("purchase", "order"), ("receipt", "invoice"))


def meaning(text: str) -> list[float]:
    """Return a vector by which words of one meaning are near, whatever their letters."""
    found = [float(any(word in text.lower() for word in of)) for of in MEANINGS]
    return found if any(found) else [1.0, 1.0, 1.0]


@dataclass
class Meanings:
    """The server. `odd` answers in its place, when it is set."""

    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])
    odd: Callable[[list[str]], Response] | None = None

    async def serve(self, request: Request) -> Response:
        said: dict[str, Any] = json.loads(await request.body())
        self.asked.append(said)
        self.keys.append(request.headers.get("authorization", ""))
        if self.odd is not None:
            return self.odd(said["input"])
        items = [{"index": at, "embedding": meaning(text)} for at, text in enumerate(said["input"])]
        return JSONResponse({"object": "list", "model": said["model"], "data": items[::-1]})


@asynccontextmanager
async def meanings() -> AsyncGenerator[tuple[Meanings, EmbeddingServer]]:
    server = Meanings()
    async with serving(Starlette(routes=[Route("/v1/embeddings", server.serve, methods=["POST"])])) as url:
        yield server, EmbeddingServer(f"{url}/v1/embeddings", "m", "a-key", allow_private=True, timeout_s=20, batch=2)


async def test_a_text_is_asked_for_once_in_batches(tmp_path: Path) -> None:
    del tmp_path
    async with meanings() as (server, where):
        embedder = Embedder(where)
        vectors = await embedder.texts(["an order", "search", "an order", "receipt", "x" * 5_000])
        assert [len(one["input"]) for one in server.asked] == [2, 2]
        assert vectors[0] == vectors[2] == (0.0, 1.0, 0.0)
        assert sum(number * number for number in vectors[4]) == pytest.approx(1)
        assert max(len(text) for one in server.asked for text in one["input"]) == 1_000
        assert await embedder.texts(["receipt", "search"]) == [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0)]
        assert len(server.asked) == 2
        assert await embedder.query("a bargain") == (1.0, 0.0, 0.0)
        assert set(server.keys) == {"Bearer a-key"}
        assert "a-key" not in repr(where)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (200, b"{"),
        (200, b'{"data": []}'),
        (200, b'{"data": [{"index": 1, "embedding": [1.0]}]}'),
        (200, b'{"data": [{"index": 0, "embedding": []}]}'),
        (200, b'{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}'),
        (200, b'{"data": [{"index": 0, "embedding": ["x"]}]}'),
        (200, json.dumps({"data": [{"index": 0, "embedding": [1.0] * 5_000}]}).encode()),
        (200, b'{"data": [{"index": 0, "embedding": [1e308, 1e308]}]}'),
    ],
)
async def test_another_answer_is_no_vector(status: int, body: bytes) -> None:
    async with meanings() as (server, where):
        server.odd = lambda _: Response(body, status)
        with pytest.raises(UpstreamFailed):
            await Embedder(where).query("x")


async def test_too_many_numbers_are_none() -> None:
    async with meanings() as (server, where):
        many = MAX_NUMBERS // 4_000
        server.odd = lambda texts: JSONResponse(
            {"data": [{"index": at, "embedding": [1.0] * 4_096} for at in range(len(texts))]}
        )
        with pytest.raises(UpstreamFailed, match="hold more than"):
            await Embedder(where).texts([f"text {number}" for number in range(many)])
        assert len(server.asked) == 1


async def test_the_server_is_reached_through_egress_only() -> None:
    async with meanings() as (server, where):
        with pytest.raises(Refusal):
            await Embedder(replace(where, allow_private=False)).query("x")
        assert server.asked == []


async def found(here: Market, query: str) -> list[str]:
    async with here.gateway.client(here.gateway.token("planner", "/mcp/few")) as client:
        params = {"name": "search_tools", "arguments": {"query": query}}
        answer = (await rpc(client, "tools/call", params, path="/mcp/few")).json()
    return [tool["name"] for tool in answer["result"]["structuredContent"]["tools"]]


@pytest.mark.requirement("mesh.search-by-meaning")
async def test_a_search_finds_by_meaning_what_no_word_does_and_only_what_its_caller_may_see(tmp_path: Path) -> None:
    async with meanings() as (server, where):
        config = f'search: {{embeddings: {{url: "{where.url}", model: m, allow_private: true, timeout_s: 20}}}}\n'
        async with market(tmp_path, f'toolsets: {{few: {{include: ["shop__*"], compact: true}}}}\n{config}') as here:
            assert (await found(here, "bargain"))[0] == "shop__search_items_items_get"
            assert not any("receipt" in name for name in await found(here, "invoice"))  # there is one, hidden
            assert any("receipt" in text for one in server.asked for text in one["input"])
            server.odd = lambda texts: Response(status_code=503)
            assert await found(here, "bargain") == []
            assert (await found(here, "order"))[0].startswith("shop__")
            server.odd = None
            with anyio.fail_after(30):
                assert await found(here, "purchase")
