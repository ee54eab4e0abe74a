"""Resources that no list names: read where it is clear whose they are, and governed like any other."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from support.asker import asker
from support.gateways import TestGateway, gateway, rpc
from support.legacy_client import initialize, legacy
from support.scenes import FILES, check_books, of_kind, world

TEXTS = {"doc://a": "A", "doc://b": "B", "doc://secret/x": "X", "doc://hidden": "H", "doc://graded": "G"}
RULES = """, resources: {"*": {risk: 2, tags: [paper]}, "doc://hid*": {hide: true}, "doc://grad*": {risk: 9}}"""
POLICY = """
@id("read") permit (principal in Tenant::"acme", action in [Action::"read", Action::"call"], resource);
@id("no-secrets") @reason("secrets stay where they are")
forbid (principal, action == Action::"read", resource == Resource::"asker:*") when {
  context.args has uri && context.args.uri like "doc://secret/*"
};
"""


async def read(front: TestGateway, uri: str, path: str = "/mcp", agent: str = "planner") -> dict[str, Any]:
    async with front.client(front.token(agent, path)) as client:
        answer: dict[str, Any] = (await rpc(client, "resources/read", {"uri": uri}, path=path)).json()
        return answer


@pytest.mark.requirement("mcp.unlisted")
async def test_an_unlisted_resource_is_read_from_the_one_upstream_that_can_have_it(tmp_path: Path) -> None:
    files = {**FILES, "main__cedar": POLICY}
    with anyio.fail_after(60):
        async with (
            asker(resources=TEXTS, listed=frozenset({"doc://b", "doc://hidden"})) as up,
            asker(resources={"note://n": "N"}, listed=frozenset({"note://n"})) as other,
            gateway(tmp_path, world([up.entry(more=RULES), other.entry("notes")]), **files) as front,
        ):
            for path in ("/mcp", "/servers/asker/mcp"):
                for uri in ("doc://a", "doc://b"):
                    answer = await read(front, uri, path)
                    assert answer["result"]["contents"] == [{"uri": uri, "text": TEXTS[uri]}]
            decided = [one for one in of_kind(await front.settled(), "decision") if one["action"] == "read"]
            assert {one["capability"]["name"] for one in decided} == {"asker:*", "doc://b"}
            up.read.clear()
            for path in ("/mcp", "/servers/asker/mcp"):
                denied = await read(front, "doc://secret/x", path)
                assert denied["error"]["code"] == -32003
                assert "secrets stay where they are" in denied["error"]["message"]
                for uri in ("doc://hidden", "doc://graded", "doc://a/../hidden", "x" * 3000, ""):
                    refused = await read(front, uri, path)
                    assert refused["error"]["code"] == -32602, uri
            assert up.read == []
            assert (await read(front, "doc://a", "/servers/notes/mcp"))["error"]["code"] == -32602
            assert other.read == ["doc://a"]  # asked, and it has none of that
            assert (await read(front, "gopher://a"))["error"]["code"] == -32602  # of either, so of neither
            assert other.read == ["doc://a"]
            assert up.read == []
            check_books(await front.settled())


@pytest.mark.requirement("mcp.unlisted")
async def test_what_is_not_there_is_told_in_the_words_of_each_era(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with (
            asker(resources=TEXTS) as up,
            gateway(tmp_path, world([up.entry()]), **{**FILES, "main__cedar": POLICY}) as front,
            front.client(front.token("planner")) as client,
            front.client(front.token("spy")) as spy,
        ):
            assert (await read(front, "doc://none"))["error"]["code"] == -32602
            told = await legacy(client, await initialize(client), "resources/read", {"uri": "doc://none"})
            assert told.json()["error"]["code"] == -32002
            refused = await legacy(spy, await initialize(spy), "resources/read", {"uri": "doc://a"})
            assert refused.json()["error"]["code"] == -32002
            assert up.read == ["doc://none", "doc://none"]


@pytest.mark.requirement("mcp.unlisted")
async def test_nothing_unlisted_is_read_from_a_toolset_or_where_each_definition_is_approved(tmp_path: Path) -> None:
    files = {**FILES, "main__cedar": POLICY}
    more = 'toolsets: {few: {include: ["*"], resources: ["doc://b"]}}\n'
    with anyio.fail_after(60):
        async with (
            asker(resources=TEXTS, listed=frozenset({"doc://b"})) as up,
            asker(resources=TEXTS) as strict,
            gateway(tmp_path, world([up.entry(), strict.entry("strict", ", pin: approve")], more), **files) as front,
        ):
            assert "result" in await read(front, "doc://b", "/mcp/few")
            assert "error" in await read(front, "doc://a", "/mcp/few")
            assert "error" in await read(front, "doc://a", "/servers/strict/mcp")
            assert strict.read == []
