"""Two workers, one agent: a stream at one of them, and questions, cancels and budgets at either."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from support.agent_scenes import POLICY, V1, message
from support.agent_servers import start_agent
from support.processes import process
from support.scenes import check_books, of_kind, world

PATH = "/a2a/worker"
MESSAGES = 6  # that the budget has room for


@pytest.mark.requirement("a2a.task-owner-survives", "a2a.edge-budget")
async def test_a_task_of_one_worker_is_known_to_the_other_and_one_budget_counts_for_both(tmp_path: Path) -> None:
    budget = (
        "budgets:\n  - {name: edge, scope: edge, match: planner/worker, unit: calls, "
        f"limit: {MESSAGES}, window: total}}\n"
    )
    with anyio.fail_after(180), start_agent() as agent:
        async with process(tmp_path, world([agent.entry("worker")], budget), workers=2) as running:
            (tmp_path / "main.cedar").write_text(POLICY)
            await running.start()
            token = await running.fetch_token(path=PATH)
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json", **V1}
            wires = [await running.connect() for _ in range(6)]  # the kernel spreads them over both workers

            async def ask(wire: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
                body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
                _, answered = await wires[wire].ask("POST", PATH, body, headers)
                found: dict[str, Any] = json.loads(answered)
                return found

            url = f"http://127.0.0.1:{running.port}{PATH}"
            stream = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": message("wait")}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=120) as http,
                http.stream("POST", url, json=stream) as response,
            ):
                lines = response.aiter_lines()
                first = json.loads((await anext(lines)).removeprefix("data: "))
                named = {"id": first["result"]["task"]["id"]}
                for wire in range(len(wires)):
                    assert (await ask(wire, "GetTask", named))["result"]["id"] == named["id"]
                    listed = (await ask(wire, "ListTasks", {}))["result"]["tasks"]
                    assert [one["id"] for one in listed] == [named["id"]]
                again = {"jsonrpc": "2.0", "id": 2, "method": "SubscribeToTask", "params": named}
                async with http.stream("POST", url, json=again) as second:
                    seen = json.loads((await anext(second.aiter_lines())).removeprefix("data: "))
                    assert seen["result"]["task"]["id"] == named["id"]
                    gone = (await ask(5, "CancelTask", named))["result"]
                    assert gone["status"]["state"] == "TASK_STATE_CANCELED"
                told = [line async for line in lines if line.startswith("data:")]
                assert "CANCELED" in told[-1]
            answers = [await ask(number % 6, "SendMessage", message("say x")) for number in range(MESSAGES + 2)]
            assert sum("result" in one for one in answers) == MESSAGES - 1  # the stream was one
            codes = {one["error"]["data"][0]["metadata"]["code"] for one in answers if "error" in one}
            assert codes == {"over_budget"}
            assert await running.stop() == 0
            records = running.records()
            check_books(records)
            permits = [one for one in of_kind(records, "decision") if one["operation"] == "SendMessage"]
            assert sum(one["effect"] == "permit" for one in permits) == MESSAGES - 1
