"""The `mcp` 1.x line where servers ask and clients answer, on either side of the gateway and over both transports."""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)
from pydantic import FileUrl

from demos.environments import command, is_made
from support.gateways import PUBLIC_URL, gateway
from support.mcp_servers import start_http_server
from support.processes import process
from support.scenes import FILES, check_books, world

MAIN = Path(__file__).parents[1] / "support" / "sdk1_asking_main.py"
RULES = 'tools: {"*": {risk: 1, read_only: true}}'
POLICY = '@id("all") permit (principal in Tenant::"acme", action, resource);'
pytestmark = pytest.mark.skipif(
    not is_made("mcp1"), reason="environment `mcp1` is not made: python demos/environments.py mcp1"
)


@pytest.mark.requirement("mcp.both-eras")
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_client_of_the_first_sdk_is_asked_logs_and_watches(tmp_path: Path, era: str, transport: str) -> None:
    with anyio.fail_after(45), start_http_server(era="legacy" if era == "legacy" else "modern") as server:
        entry = f"  up: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
        async with process(tmp_path, world([entry])) as gate:
            config = gate.folder / "gateway.yaml"
            config.write_text(config.read_text().replace("  data: {", "  data: {http_sse: true, "))
            (gate.folder / "main.cedar").write_text(POLICY)
            await gate.start()
            url = f"http://127.0.0.1:{gate.port}/mcp"
            words = [*command("mcp1", "python"), str(MAIN), "client", url, gate.token, transport]
            done = await anyio.run_process(words, stderr=subprocess.STDOUT, check=False)
            assert done.returncode == 0, done.stdout.decode()
            told = json.loads(done.stdout.splitlines()[-1])
            assert await gate.stop() == 0
            check_books(gate.records())
    assert told["version"] == "2025-11-25"
    assert (told["book"], told["opinion"], told["where"]) == ("booked today", "thought deep", "roots ['file:///here']")
    assert told["asked"] == ["Which date?"]
    assert told["logged"] == [["warning", "large"]]
    assert told["updated"] == "note://one"


@contextmanager
def asking_server() -> Generator[str]:
    """Run the server of the first SDK until the block ends; yield its URL."""
    words = [*command("mcp1", "python"), "-W", "ignore", str(MAIN), "server"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith(b"PORT "), "the server did not start"
            yield f"http://127.0.0.1:{int(line.split()[1])}/mcp"
        finally:
            running.kill()


@pytest.mark.requirement("mcp.asking.cells")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_server_of_the_first_sdk_asks_clients_of_both_eras(tmp_path: Path, mode: Any) -> None:
    async def elicit(context: Any, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"date": params.message})

    async def sample(context: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="deep"), model="m")

    async def roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///here"))])

    with anyio.fail_after(120), asking_server() as url:
        entry = f"  up: {{url: '{url}', allow_private: true, {RULES}}}\n"
        async with gateway(tmp_path, world([entry]), **FILES) as front:
            while (up := front.worker.gateway.snapshot.missing) and "up" in up:
                await front.worker.keeper.refresh(front.worker.gateway, only_missing=True)
            async with (
                front.client(front.token("planner")) as http,
                Client(
                    streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=http), mode=mode,
                    elicitation_callback=elicit, sampling_callback=sample, list_roots_callback=roots,
                ) as client,
            ):  # fmt: skip
                said = [
                    str((await client.call_tool(f"up__{tool}", {})).content) for tool in ("book", "opinion", "where")
                ]
            for text, expected in zip(said, ("booked Which date?", "deep", "file:///here"), strict=True):
                assert expected in text
            check_books(await front.settled())
