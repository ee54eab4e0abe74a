"""Two workers and one task: a legacy upstream's session knows it, and that is one worker's."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec
import pytest

from support.legacy_task_server import LegacyTaskServer
from support.processes import Process, Wire, process
from support.scenes import check_books, world
from support.task_clients import body_of
from support.task_jobs import Json, Offer, slow_compute
from support.task_server import served

CONNECTIONS = 4  # the kernel spreads them over both workers


async def asked(gate: Process, wire: Wire, method: str, params: Mapping[str, object]) -> Json:
    """Send one modern request on one connection; return the answer."""
    body, head = body_of(method, params)
    _, answer = await wire.ask("POST", "/mcp", body, {**head, "authorization": f"Bearer {gate.token}"})
    found: Json = msgspec.json.decode(answer)
    return found


@pytest.mark.requirement("mcp.tasks.workers")
async def test_a_task_is_followed_whichever_worker_is_asked(tmp_path: Path) -> None:
    app = LegacyTaskServer(offers={"job": Offer(slow_compute, "required", {"seconds": {"type": "number"}})})
    with anyio.fail_after(120):
        async with served(app) as server:
            entry = f"  jobs: {{url: '{server.url}', allow_private: true, tools: {{\"*\": {{risk: 1}}}}}}\n"
            async with process(tmp_path, world([entry]), workers=2) as gate:
                await gate.start()
                wires = [await gate.connect() for _ in range(CONNECTIONS)]
                call: Json = {"name": "jobs__job", "arguments": {"seconds": 0}}
                made = [(await asked(gate, wire, "tools/call", call))["result"]["taskId"] for wire in wires]
                for task_id in made:
                    for wire in wires:
                        found = await asked(gate, wire, "tasks/get", {"taskId": task_id})
                        assert found["result"]["taskId"] == task_id, found
                        ended = await asked(gate, wire, "tasks/cancel", {"taskId": task_id})
                        assert ended["result"]["resultType"] == "complete"
                assert await gate.stop() == 0
                check_books(gate.records())
    sessions = {message["params"]["taskId"] for message in server.heard if message["method"] == "tasks/get"}
    assert sessions == set(server.jobs)
