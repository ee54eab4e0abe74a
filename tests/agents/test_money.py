"""What messages to agents cost: counted per edge whatever the binding, refused before dispatch, given back unsent."""

from pathlib import Path

import pytest

from support.agent_scenes import V1, agents_behind, caller, events, message, rpc, task_of
from support.agent_servers import AgentServer
from support.running import free_ports
from support.scenes import check_books, of_kind

EDGE = "budgets:\n  - {name: edge, scope: edge, match: planner/worker, unit: calls, limit: %d, window: total}\n"


@pytest.mark.requirement("a2a.edge-budget")
async def test_an_edge_counts_streamed_and_plain_messages_alike(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")], EDGE % 3) as running:
        async with caller(running, "planner") as ana, caller(running, "twin") as ben:
            assert (await rpc(ana, "SendMessage", message("say a"))).status_code == 200
            assert events(await rpc(ana, "SendStreamingMessage", message("do b")))
            assert (await ana.post("/a2a/worker/message:send", json=message("say c"), headers=V1)).status_code == 200
            before = len(worker.seen())
            for answer in (
                await rpc(ana, "SendMessage", message("say d")),
                await rpc(ana, "SendStreamingMessage", message("do d")),
                await ana.post("/a2a/worker/message:send", json=message("say d"), headers=V1),
            ):
                assert answer.status_code == 429, answer.text
                assert "OVER_BUDGET" in answer.text
            assert len(worker.seen()) == before, "refused before dispatch"
            assert (await rpc(ben, "SendMessage", message("say e"))).status_code == 200, "another caller, another edge"
        check_books(await running.settled())


@pytest.mark.requirement("a2a.edge-budget")
async def test_asking_after_a_task_costs_nothing(tmp_path: Path, worker: AgentServer) -> None:
    async with (
        agents_behind(tmp_path, [worker.entry("worker")], EDGE % 1) as running,
        caller(running, "planner") as ana,
    ):
        task = await task_of(ana)
        for _ in range(3):
            assert (await rpc(ana, "GetTask", {"id": task["id"]})).json()["result"]["id"] == task["id"]
        assert (await rpc(ana, "ListTasks", {})).status_code == 200
        assert (await rpc(ana, "SendMessage", message("say x"))).status_code == 429


async def test_what_never_left_is_given_back(tmp_path: Path, worker: AgentServer) -> None:
    """The card was seen, then the agent went: a refused connection costs nothing, nor does a foreign task."""
    (port,) = free_ports(1)
    card = f"{worker.url}/.well-known/agent-card.json"
    gone = f"  worker: {{kind: a2a, url: 'http://127.0.0.1:{port}', card: '{card}', allow_private: true}}\n"
    async with agents_behind(tmp_path, [gone], EDGE % 1) as running, caller(running, "planner") as ana:
        for _ in range(2):
            answer = await rpc(ana, "SendMessage", message("say a"))
            assert answer.status_code == 502, answer.text
        assert (await rpc(ana, "SendMessage", message("say a", taskId="t"))).json()["error"]["code"] == -32001
        outcomes = of_kind(await running.settled(), "outcome")
        assert [amount for one in outcomes for _, _, amount in one["settled"]] == [0, 0, 0]


async def test_a_skill_has_its_own_price(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", price_micros: 10, skills: {delete: {price_micros: 500}}")
    money = "budgets:\n  - {name: money, scope: agent, unit: micros, limit: 600, window: total}\n"
    paths = ("/a2a/worker", "/a2a/worker/skills/draft", "/a2a/worker/skills/delete")
    async with agents_behind(tmp_path, [entry], money) as running:
        for path in paths:
            async with caller(running, "planner", path) as ana:
                assert (await rpc(ana, "SendMessage", message("say a"), path=path)).status_code == 200
        taken = [charge[2] for one in of_kind(await running.settled(), "decision") for charge in one["charges"]]
        assert taken == [10, 10, 500]
