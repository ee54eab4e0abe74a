"""Push notifications: off unless asked for, and then relayed, so that neither side learns of the other."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from agent_gateway.egress.resolve import Address
from agent_gateway.runtime.push_relay import AT_ONCE_PER_OWNER, PATH, PushRelay, Webhook, check_url
from agent_gateway.stores.sqlite_push import SqlitePush
from agent_gateway.stores.task_store import Owner, Where
from gateway_policies.refusal import BadRequest
from support.agent_scenes import V1, agents_behind, caller, message, old_message, rpc, task_of
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL, TestGateway
from support.raw_agent import RawAgent, card, http, raw_agent, saying
from support.raw_http import Peer, RawServer, raw_server

WAIT_S = 60
ON = ", push: relay, push_private: true"
HOOK = {"url": "%s", "token": "client-token", "authentication": {"scheme": "Bearer", "credentials": "client-secret"}}


@dataclass
class Receiver:
    """A caller's webhook: keeps what is posted to it."""

    server: RawServer
    statuses: list[int] = field(default_factory=list[int])  # to answer with, then 204
    got: list[tuple[dict[bytes, bytes], bytes]] = field(default_factory=list[tuple[dict[bytes, bytes], bytes]])
    came: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return self.server.url("/hook?for=me")


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncGenerator[Receiver]:
    made: list[Receiver] = []

    async def behave(peer: Peer) -> None:
        while True:
            line, head, body = await peer.request()
            if not line:
                return
            hook = made[0]
            hook.got.append((head, body))
            status = hook.statuses.pop(0) if hook.statuses else 204
            await peer.say(b"HTTP/1.1 %d X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n" % status)
            hook.came.set()

    async with raw_server(behave) as server:
        made.append(Receiver(server, list(statuses)))
        yield made[0]


def hook_for(url: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(HOOK).replace(b"%s", url.encode()))
    return found


MADE = http(b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t-1","status":{"state":"TASK_STATE_WORKING"}}}}')
UPDATE = b'{"statusUpdate":{"taskId":"t-1","status":{"state":"TASK_STATE_COMPLETED"},"tomorrow":12345678901234567890}}'


def pushing(url: str) -> bytes:
    return card(url, capabilities={"pushNotifications": True})


def told(agent: RawAgent, index: int = -1) -> dict[str, Any]:
    """Return the webhook that the agent was told."""
    params = orjson.loads(agent.asked[index].body)["params"]
    inline = params.get("configuration", {}).get("taskPushNotificationConfig")
    found: dict[str, Any] = inline or params
    return found


async def post(running: TestGateway, config: dict[str, Any], body: bytes, secret: str = "") -> int:
    """Post an update as an agent would."""
    token = secret or config["token"]
    async with running.client() as client:
        answer = await client.post(
            config["url"].removeprefix(PUBLIC_URL),
            content=body,
            headers={"content-type": "application/json", "x-a2a-notification-token": token},
        )
    return answer.status_code


@pytest.mark.requirement("a2a.push-off")
async def test_push_is_off_unless_the_operator_says_otherwise(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        task, before = await task_of(ana), len(worker.seen())
        hook = hook_for("https://example.com/x")
        for answer in (
            await rpc(ana, "CreateTaskPushNotificationConfig", {"taskId": task["id"], **hook}),
            await rpc(ana, "ListTaskPushNotificationConfigs", {"taskId": task["id"]}),
            await rpc(ana, "SendMessage", {**message("x"), "configuration": {"taskPushNotificationConfig": hook}}),
            await rpc(
                ana, "message/send", {**old_message("x"), "configuration": {"pushNotificationConfig": hook}}, headers={}
            ),
        ):
            assert answer.json()["error"]["code"] == -32003, answer.text
        assert len(worker.seen()) == before


@pytest.mark.requirement("a2a.push-relay")
async def test_neither_side_learns_of_the_other(tmp_path: Path) -> None:
    async with (
        receiver() as hook,
        raw_agent(saying(MADE), pushing) as agent,
        agents_behind(tmp_path, [agent.entry("worker", ON)]) as running,
        caller(running, "planner") as ana,
    ):
        inline = {"configuration": {"taskPushNotificationConfig": hook_for(hook.url)}}
        assert (await rpc(ana, "SendMessage", {**message("x"), **inline})).status_code == 200
        sent = agent.asked[-1].body
        for secret in (str(hook.server.port).encode(), b"client-token", b"client-secret"):
            assert secret not in sent
        config = told(agent)
        assert config["url"].startswith(f"{PUBLIC_URL}{PATH}")
        assert await post(running, config, UPDATE, "a-guess") == 404
        assert await post(running, config, UPDATE.replace(b"t-1", b"t-2")) == 404
        assert await post(running, {**config, "url": f"{PUBLIC_URL}{PATH}nothing"}, UPDATE) == 404
        assert await post(running, config, b"{}") == 404
        assert await post(running, config, UPDATE) == 202
        with anyio.fail_after(WAIT_S):
            await hook.came.wait()
        ((head, body),) = hook.got
        assert body == UPDATE
        assert (head[b"authorization"], head[b"x-a2a-notification-token"]) == (b"Bearer client-secret", b"client-token")
        assert config["token"].encode() not in b"".join(head.values())
        kept = (tmp_path / "data" / "push.db").read_bytes()
        assert not any(secret in kept for secret in (b"client-token", b"client-secret", b"/hook?for=me"))
        assert not [one for one in running.records() if one.get("code") == "internal"]


@pytest.mark.requirement("a2a.push-relay")
async def test_a_caller_sees_its_own_webhook_alone(tmp_path: Path, worker: AgentServer) -> None:
    async with (
        receiver() as hook,
        agents_behind(tmp_path, [worker.entry("worker", ON)]) as running,
        caller(running, "planner") as ana,
        caller(running, "twin") as ben,
    ):
        task = await task_of(ana, "ask me")
        asked = {"taskId": task["id"], "id": "mine", **hook_for(hook.url)}
        made = await rpc(ana, "CreateTaskPushNotificationConfig", asked)
        wanted = {
            "id": "mine", "taskId": task["id"], "url": hook.url, "token": "client-token",
            "authentication": {"scheme": "Bearer"},
        }  # fmt: skip
        assert made.json()["result"] == wanted
        named = {"taskId": task["id"], "id": "mine"}
        assert (await rpc(ana, "GetTaskPushNotificationConfig", named)).json()["result"] == wanted
        listed = await rpc(ana, "ListTaskPushNotificationConfigs", {"taskId": task["id"]})
        assert listed.json()["result"]["configs"] == [wanted]
        old = await rpc(ana, "tasks/pushNotificationConfig/list", {"id": task["id"]}, headers={})
        assert [one["pushNotificationConfig"]["url"] for one in old.json()["result"]] == [hook.url]
        rest = await ana.get(f"/a2a/worker/tasks/{task['id']}/pushNotificationConfigs/mine", headers=V1)
        assert rest.json() == wanted
        assert (await rpc(ben, "GetTaskPushNotificationConfig", named)).json()["error"]["code"] == -32001
        at_agent = [one["body"] for one in worker.seen() if "PushNotificationConfig" in one["body"]]
        assert not any(str(hook.server.port) in body for body in at_agent)
        for _ in range(2):  # deleting it once more changes nothing
            deleted = await rpc(ana, "DeleteTaskPushNotificationConfig", named)
            assert (deleted.status_code, deleted.json()["result"]) == (200, {})
        assert (await rpc(ana, "GetTaskPushNotificationConfig", named)).json()["error"]["code"] == -32001
        assert any("DeleteTaskPushNotificationConfig" in one["body"] for one in worker.seen())


@pytest.mark.requirement("a2a.push-relay")
async def test_what_does_not_arrive_is_tried_again_in_order_and_buried_in_the_end(tmp_path: Path) -> None:
    async with (
        receiver(500, 302, 204, 204) as hook,
        raw_agent(saying(MADE), pushing) as agent,
        agents_behind(tmp_path, [agent.entry("worker", ON)]) as running,
        caller(running, "planner") as ana,
    ):
        inline = {"configuration": {"taskPushNotificationConfig": hook_for(hook.url)}}
        await rpc(ana, "SendMessage", {**message("x"), **inline})
        config = told(agent)
        first, second = UPDATE, UPDATE.replace(b"COMPLETED", b"WORKING")
        assert [await post(running, config, one) for one in (first, second)] == [202, 202]
        with anyio.fail_after(WAIT_S):
            while len(hook.got) < 4:
                hook.came = anyio.Event()
                await hook.came.wait()
        assert [body for _, body in hook.got] == [first, first, first, second], "a redirect is followed nowhere"


@pytest.mark.requirement("a2a.push-fair")
@pytest.mark.parametrize("owners", [1, 8])
async def test_slow_webhooks_delay_nobody_elses(tmp_path: Path, owners: int) -> None:
    slow, came = anyio.Event(), anyio.Event()

    async def hang(peer: Peer) -> None:
        await peer.request()
        if len(dead.peers) == owners * AT_ONCE_PER_OWNER:
            slow.set()
        await peer.until_closed()

    async def take(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n")
        came.set()

    ben = Where(Owner("acme", "ben"), "worker")
    async with raw_server(hang) as dead, raw_server(take) as alive:
        relay = PushRelay(SqlitePush(tmp_path / "push.db"), bytes(32), time.time, 0.05)
        running = asyncio.ensure_future(relay.run())
        try:
            for number in range(2 * owners * AT_ONCE_PER_OWNER):
                webhook = Webhook(dead.url("/"), is_private=True)
                ana = Where(Owner("acme", f"ana-{number % owners}"), "worker")
                hook, _ = await relay.register(ana, f"t-{number}", "c", webhook)
                await relay.accept(hook, UPDATE)
            with anyio.fail_after(WAIT_S):
                await slow.wait()
                hook, _ = await relay.register(ben, "t-b", "c", Webhook(alive.url("/"), is_private=True))
                await relay.accept(hook, UPDATE, is_last=True)
                await came.wait()
                while await relay.of_task(ben, "t-b"):
                    pass  # it is forgotten with the last update of its task
            assert len(dead.peers) <= owners * AT_ONCE_PER_OWNER
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await relay.aclose()


async def _somewhere(host: str, port: int) -> list[Address]:
    del host, port
    return [(socket.AF_INET, "93.184.215.14")]


@pytest.mark.requirement("a2a.push-relay")
@pytest.mark.parametrize("odd", [{"token": "caf\u00e9"}, {"scheme": "Bearer\r\nx-admin: 1"}, {"credentials": "a\nb"}])
async def test_what_no_header_can_carry_is_refused_when_it_is_registered(tmp_path: Path, odd: dict[str, str]) -> None:
    """It would end the relay's work, again and again, for everybody."""
    relay = PushRelay(SqlitePush(tmp_path / "push.db"), bytes(32), lambda: 100.0, getaddrinfo=_somewhere)
    with pytest.raises(BadRequest, match="printable ASCII") as caught:
        await relay.register(
            Where(Owner("acme", "ana"), "worker"),
            "t-1",
            "",
            Webhook("https://hooks.example/x", **odd),  # type: ignore[arg-type]
        )
    assert caught.value.code == "invalid_params"
    await relay.aclose()


@pytest.mark.requirement("a2a.push-relay")
@pytest.mark.parametrize(
    "answer",
    [
        http(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}'),
        http(b'{"jsonrpc":"2.0","id":1,"result":{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}}'),
    ],
)
async def test_a_webhook_of_a_message_that_no_task_came_of_is_forgotten(tmp_path: Path, answer: bytes) -> None:
    async with (
        receiver() as hook,
        raw_agent(saying(answer), pushing) as agent,
        agents_behind(tmp_path, [agent.entry("worker", ON)]) as running,
        caller(running, "planner") as ana,
    ):
        inline = {"configuration": {"taskPushNotificationConfig": hook_for(hook.url)}}
        await rpc(ana, "SendMessage", {**message("x"), **inline})
        assert await post(running, told(agent), UPDATE) == 404


# --- where nothing is posted -------------------------------------------------------------------

FORBIDDEN = [
    "http://example.com/x", "ftp://example.com/", "file:///etc/passwd", "https:///x", "https://", "javascript:x",
    "https://user:pw@example.com/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.1/",
    "https://0177.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[2002:7f00:1::]/",
    "https://[2001::1]/", "https://[64:ff9b::7f00:1]/", "https://10.0.0.1/", "https://172.16.0.1/",
    "https://192.168.0.1/", "https://100.64.0.1/", "https://169.254.169.254/latest/", "https://0.0.0.0/",
    "https://[fd00:ec2::254]/", "https://localhost/", "https://example.com:0/", "https://example.com:99999/",
]  # fmt: skip


async def test_a_name_that_cannot_be_resolved_now_is_taken_for_it_is_checked_with_every_post() -> None:
    async def nowhere(host: str, port: int) -> Any:
        raise OSError(host, port)

    await check_url("https://hooks.example/x", is_private=False, getaddrinfo=nowhere)


@pytest.mark.requirement("a2a.push-ssrf")
@pytest.mark.parametrize("url", FORBIDDEN)
async def test_nothing_is_posted_inside(url: str) -> None:
    with pytest.raises(BadRequest, match="nothing may be posted") as caught:
        await check_url(url, is_private=False)
    assert caught.value.code == "invalid_params"


@pytest.mark.requirement("a2a.push-ssrf")
async def test_a_webhook_inside_is_refused_in_every_way_to_name_it(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", push: relay")
    async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
        task, before = await task_of(ana), len(worker.seen())
        hook = hook_for("https://169.254.169.254/latest")
        old = {"url": hook["url"]}
        old_inline = {**old_message("x"), "configuration": {"pushNotificationConfig": old}}
        old_set = {"taskId": task["id"], "pushNotificationConfig": old}
        for answer in (
            await rpc(ana, "CreateTaskPushNotificationConfig", {"taskId": task["id"], **hook}),
            await rpc(ana, "SendMessage", {**message("x"), "configuration": {"taskPushNotificationConfig": hook}}),
            await rpc(ana, "message/send", old_inline, headers={}),
            await rpc(ana, "tasks/pushNotificationConfig/set", old_set, headers={}),
        ):
            assert answer.json()["error"]["code"] == -32602, answer.text
            assert "169.254" not in answer.text
        assert len(worker.seen()) == before


@pytest.mark.requirement("a2a.push-ssrf")
async def test_a_name_that_turns_private_after_registration_is_not_dialled(tmp_path: Path) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"])

    async def flipping(host: str, port: int) -> list[Address]:
        del host, port
        return [(socket.AF_INET, next(answers))]

    async with receiver() as hook:
        relay = PushRelay(SqlitePush(tmp_path / "push.db"), bytes(32), lambda: 100.0, getaddrinfo=flipping)
        url = f"https://innocent.example:{hook.server.port}/hook"
        kept, _ = await relay.register(Where(Owner("acme", "ana"), "worker"), "t-1", "", Webhook(url))
        await relay.accept(kept, UPDATE)
        assert await relay.deliver_due() == 1
        assert [(one.hook, one.why) for one in await relay.dead_letters()] == [(kept.id, "egress_denied")]
        assert (hook.server.peers, await relay.deliver_due()) == ([], 0)
        await relay.aclose()


async def test_a_sealed_webhook_opens_for_its_owner_alone(tmp_path: Path) -> None:
    store, where = SqlitePush(tmp_path / "push.db"), Where(Owner("acme", "ana"), "worker")
    relay = PushRelay(store, bytes(32), lambda: 100.0)
    kept, secret = await relay.register(where, "t-1", "c", Webhook("https://93.184.215.14/x"))
    moved = replace(kept, id="other", where=Where(Owner("acme", "ben"), "worker"))
    assert store.put(moved)
    assert await relay.of_task(moved.where, "t-1") == []
    assert await relay.find("other", [secret]) is None
    found = await relay.find(kept.id, [secret])
    assert found is not None
    assert await relay.find(kept.id, [secret[:-1], ""]) is None
    await relay.aclose()
    again = PushRelay(SqlitePush(tmp_path / "push.db"), bytes(31) + b"x", lambda: 100.0)
    assert await again.find(kept.id, [secret]) is None, "another key"
    await again.aclose()
