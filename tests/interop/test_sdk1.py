"""The `mcp` 1.x client, in an environment of its own (`python demos/environments.py mcp1`), through a real socket."""

import json
import subprocess
from pathlib import Path

import anyio
import pytest

from demos.environments import command, is_made
from support.mcp_servers import start_http_server
from support.processes import process
from support.scenes import check_books, world

CLIENT = Path(__file__).parents[1] / "support" / "sdk1_main.py"
RULES = 'tools: {"*": {risk: 1, read_only: true}}'


@pytest.mark.requirement("mcp.both-eras")
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_client_of_the_first_sdk_lists_calls_and_hears_progress(tmp_path: Path, era: str) -> None:
    if not is_made("mcp1"):
        pytest.skip("environment `mcp1` is not made: python demos/environments.py mcp1")
    with anyio.fail_after(60), start_http_server(era="legacy" if era == "legacy" else "modern") as server:
        entry = f"  up: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
        async with process(tmp_path, world([entry], "limits: {page_items: 3}\n")) as gate:
            await gate.start()
            url = f"http://127.0.0.1:{gate.port}/mcp"
            done = await anyio.run_process(
                [*command("mcp1", "python"), str(CLIENT), url, gate.token], stderr=subprocess.STDOUT
            )
            told = json.loads(done.stdout.splitlines()[-1])
            assert await gate.stop() == 0
            check_books(gate.records())
    assert told["version"] == "2025-11-25"
    assert {"up__echo", "up__steps"} < set(told["tools"])
    assert (told["echoed"], told["progress"]) == ("hello", [1, 2, 3])
    assert told["refused"] == "no tool `up__nowhere` here"
