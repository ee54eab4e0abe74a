"""What agents and stores do wrong, and what is told of it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx2
import orjson
import pytest

from support.agent_scenes import V1, agents_behind, caller, message, rpc
from support.gateways import PUBLIC_URL
from support.raw_agent import Asked, card, http, raw_agent, saying

MADE = http(b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t-1","status":{"state":"TASK_STATE_WORKING"}}}}')
WHERE: dict[str, Callable[[int], str]] = {
    "host and port": lambda port: f"127.0.0.1:{port}",
    "the host alone": lambda _: "127.0.0.1",
}


@pytest.mark.requirement("a2a.card-leads-here")
@pytest.mark.parametrize("where", WHERE)
async def test_an_error_that_names_the_agents_host_is_not_passed_on(tmp_path: Path, where: str) -> None:
    async def say(asked: Asked) -> None:
        text = f"connect ECONNREFUSED {WHERE[where](agent.port)}, closing"
        error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": text}}
        await asked.peer.say(http(orjson.dumps(error)))

    async with (
        raw_agent(say) as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner") as ana,
    ):
        answer = await rpc(ana, "SendMessage", message("x"), headers=V1)
        assert answer.json()["error"]["code"] == -32006
        assert "127.0.0.1" not in answer.text


@pytest.mark.requirement("a2a.push-relay")
async def test_an_update_that_cannot_be_kept_now_may_be_posted_again(tmp_path: Path) -> None:
    entry_more = ", push: relay, push_private: true"
    async with (
        raw_agent(saying(MADE), lambda url: card(url, capabilities={"pushNotifications": True})) as agent,
        agents_behind(tmp_path, [agent.entry("worker", entry_more)]) as running,
        caller(running, "planner") as ana,
        running.client() as client,
    ):
        hook = {"url": "http://127.0.0.1:9/hook"}
        asked = {**message("x"), "configuration": {"taskPushNotificationConfig": hook}}
        assert (await rpc(ana, "SendMessage", asked)).status_code == 200
        config = orjson.loads(agent.asked[-1].body)["params"]["configuration"]["taskPushNotificationConfig"]

        async def post() -> httpx2.Response:
            update = b'{"statusUpdate":{"taskId":"t-1","status":{"state":"TASK_STATE_COMPLETED"}}}'
            headers = {"content-type": "application/json", "x-a2a-notification-token": config["token"]}
            return await client.post(config["url"].removeprefix(PUBLIC_URL), content=update, headers=headers)

        with closing(sqlite3.connect(tmp_path / "data" / "push.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert (await post()).status_code == 503
        assert (await post()).status_code == 202
