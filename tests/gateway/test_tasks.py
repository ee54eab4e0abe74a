"""The tasks extension through the gateway: whose a task is, what follows it, and what is refused."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from support.gateways import TestGateway, gateway
from support.scenes import FILES, check_books, world
from support.task_clients import ask, begun, body_of, code_of, told, until
from support.task_jobs import Job, Json, Offer, text
from support.task_server import EXTENSION, TaskServer, served

RULES = 'tools: {"*": {risk: 1, read_only: true, price_micros: 100}}'


@asynccontextmanager
async def followed(
    folder: Path, app: TaskServer | None = None, more: str = "", **files: str
) -> AsyncGenerator[tuple[TestGateway, TaskServer]]:
    """A gateway in front of a server of tasks, which is two upstreams to it: `jobs` and `other`."""
    with anyio.fail_after(60):
        async with served(app or TaskServer()) as server:
            entries = [
                f"  {name}: {{url: '{server.url}', allow_private: true, {RULES}}}\n" for name in ("jobs", "other")
            ]
            async with gateway(folder, world(entries, more), **{**FILES, **files}) as gate:
                yield gate, server


@pytest.mark.requirement("mcp.tasks.extension")
async def test_a_task_is_followed_under_an_id_of_the_callers_own(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        made = await begun(client, "jobs__slow_compute", {"label": "a"})
        native = next(iter(server.jobs))
        assert native not in made["taskId"]
        done = await until(client, made["taskId"], "completed")
        assert done["taskId"] == made["taskId"]
        assert done["result"]["content"] == [{"type": "text", "text": "computed a"}]
        assert done["resultType"] == "complete"
        asked = [message["params"]["taskId"] for message in server.heard if message["method"] == "tasks/get"]
        assert set(asked) == {native}
        assert native not in str(done)


@pytest.mark.requirement("mcp.tasks.extension")
async def test_what_a_task_asks_is_answered_by_its_caller(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__confirm_delete", {"filename": "f"}))["taskId"]
        asked = await until(client, task_id, "input_required")
        (key,) = asked["inputRequests"]
        answers = {key: {"action": "accept", "content": {"confirm": True}}}
        told = await ask(client, "tasks/update", {"taskId": task_id, "inputResponses": answers})
        assert told["result"]["resultType"] == "complete"
        done = await until(client, task_id, "completed")
        assert done["result"]["content"][0]["text"] == "accept: f"


@pytest.mark.requirement("mcp.tasks.extension")
async def test_a_task_can_be_cancelled_twice(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute", {"seconds": 60}))["taskId"]
        for _ in range(2):
            told = await ask(client, "tasks/cancel", {"taskId": task_id})
            assert told["result"]["resultType"] == "complete"
        assert (await until(client, task_id, "cancelled"))["taskId"] == task_id
        assert [job.status for job in server.jobs.values()] == ["cancelled"]


@pytest.mark.requirement("mcp.tasks.declared")
async def test_the_extension_is_offered_and_told_on_only_when_the_caller_declares_it(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        found = (await ask(client, "server/discover", {}))["result"]["capabilities"]
        assert found["extensions"] == {EXTENSION: {}}
        assert "tasks" not in found
        arguments: dict[str, object] = {"name": "jobs__slow_compute", "arguments": {}}
        plain = await ask(client, "tools/call", arguments, declared={})
        assert plain["result"]["resultType"] == "complete"
        meta = server.heard[-1]["params"]["_meta"]
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            for name in (task_id, "nothing"):
                refused = await ask(client, method, {"taskId": name, "inputResponses": {}}, declared={})
                assert refused["error"]["code"] == -32021
                assert refused["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        needed = await ask(client, "tools/call", {"name": "jobs__failing_job", "arguments": {}}, declared={})
        assert needed["error"]["code"] == -32021


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_a_task_that_is_not_ones_own_looks_like_none(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute", {"seconds": 60}))["taskId"]
        native = next(iter(server.jobs))
        count = len(server.heard)
        answers: list[Json] = []
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            asked: Json = {"taskId": task_id, "inputResponses": {}}
            async with gate.client(gate.token("twin")) as twin:
                answers.append(await ask(twin, method, asked))
            async with gate.client(gate.token("planner", "/servers/jobs/mcp")) as elsewhere:  # sealed for one endpoint
                answers.append(await ask(elsewhere, method, asked, path="/servers/jobs/mcp"))
            forged = ("nothing", "", native, task_id[:-1], task_id[:-2] + "AA", task_id + "A", "x" * 5000)
            answers += [await ask(client, method, {"taskId": one, "inputResponses": {}}) for one in forged]
            odd = await ask(client, method, {"taskId": None, "inputResponses": {}})
            assert odd["error"]["code"] == -32602
        assert {answer["error"]["code"] for answer in answers} == {-32602}
        assert len({msgspec.json.encode(answer["error"]) for answer in answers}) == 1
        assert len(server.heard) == count


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_an_id_is_good_for_as_long_as_its_task_and_no_longer(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    async with served(TaskServer()) as server:
        entry = f"  jobs: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
        async with gateway(tmp_path, world([entry]), lambda: now[0], **FILES) as gate:
            async with gate.client(gate.token("planner")) as client:
                task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
            now[0] += 86_400 - 60
            async with gate.client(gate.token("planner")) as client:
                assert "result" in await ask(client, "tasks/get", {"taskId": task_id})
            now[0] += 120
            async with gate.client(gate.token("planner")) as client:
                assert (await ask(client, "tasks/get", {"taskId": task_id}))["error"]["code"] == -32602


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_a_task_outlives_the_gateway_that_made_it(tmp_path: Path) -> None:
    async with served(TaskServer()) as server:
        entry = f"  jobs: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
        async with gateway(tmp_path, world([entry]), **FILES) as gate, gate.client(gate.token("planner")) as client:
            task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
        async with gateway(tmp_path, world([entry]), **FILES) as gate, gate.client(gate.token("planner")) as client:
            assert (await until(client, task_id, "completed"))["taskId"] == task_id


ONE_AT_A_TIME = """\
permit (principal in Tenant::"acme", action, resource);
@id("no-cancel")
@reason("what was begun is finished")
forbid (principal, action, resource) when { context.operation == "tasks/cancel" };
@id("small")
@reason("only small ones")
forbid (principal, action, resource) when { context.args has seconds && context.args.seconds > 100 };
"""


@pytest.mark.requirement("mcp.tasks.governed")
async def test_each_request_about_a_task_is_decided_and_recorded(tmp_path: Path) -> None:
    async with followed(tmp_path, main__cedar=ONE_AT_A_TIME) as (gate, server):
        async with gate.client(gate.token("planner")) as client:
            task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
            await until(client, task_id, "completed")
            denied = await ask(client, "tasks/cancel", {"taskId": task_id})
            assert code_of(denied) == "forbidden"
        assert not [message for message in server.heard if message["method"] == "tasks/cancel"]
        found = await gate.settled()
        check_books(found)
        decisions = [one for one in found if one["kind"] == "decision"]
        about = [one for one in decisions if one.get("operation", "").startswith("tasks/")]
        assert {one["capability"]["name"] for one in about} == {"jobs__slow_compute"}
        assert about[-1]["operation"] == "tasks/cancel"
        assert about[-1]["effect"] == "forbid"
        assert {one["effect"] for one in about[:-1]} == {"permit"}


@pytest.mark.requirement("mcp.tasks.paid-once")
async def test_a_task_is_paid_by_the_call_that_made_it(tmp_path: Path) -> None:
    budgets = "budgets: [{name: one, scope: agent, match: '*', unit: calls, limit: 1, window: day}]\n"
    async with followed(tmp_path, more=budgets) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
        await until(client, task_id, "completed")
        assert "result" in await ask(client, "tasks/cancel", {"taskId": task_id})
        again = await ask(client, "tools/call", {"name": "jobs__slow_compute", "arguments": {}})
        assert code_of(again) == "over_budget"


@pytest.mark.requirement("mcp.tasks.paid-once")
async def test_polling_counts_for_rates(tmp_path: Path) -> None:
    rates = "rates: [{name: slow, scope: agent, match: '*', per_second: 0.01, burst: 4}]\n"
    async with followed(tmp_path, more=rates) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute", {"seconds": 60}))["taskId"]
        answers = [await ask(client, "tasks/get", {"taskId": task_id}) for _ in range(8)]
        assert "result" in answers[0]
        assert code_of(answers[-1]) == "over_rate"


TASK = {"resultType": "task", "taskId": "t", "status": "working", "createdAt": "x", "lastUpdatedAt": "x", "ttlMs": None}
ODD_TASKS: list[tuple[str, Any]] = [
    ("no id", {**TASK, "taskId": None}),
    ("an empty id", {**TASK, "taskId": ""}),
    ("an endless id", {**TASK, "taskId": "x" * 2000}),
    ("a number for an id", {**TASK, "taskId": 7}),
    ("no status", {**TASK, "status": None}),
    ("another status", {**TASK, "status": "sleeping"}),
    ("a text for a life", {**TASK, "ttlMs": "long"}),
]


@pytest.mark.requirement("mcp.tasks.odd-upstreams")
async def test_a_task_that_nobody_could_follow_is_refused(tmp_path: Path) -> None:
    app = TaskServer()
    async with followed(tmp_path, app) as (gate, _), gate.client(gate.token("planner")) as client:
        for what, task in ODD_TASKS:
            app.odd["greet"] = msgspec.json.encode(task)
            answer = await ask(client, "tools/call", {"name": "jobs__greet", "arguments": {}})
            assert code_of(answer) == "upstream_garbage", what
        check_books(await gate.settled())


@pytest.mark.requirement("mcp.tasks.odd-upstreams")
async def test_a_task_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    app = TaskServer()
    undeclared: list[Json] = [{}, {"extensions": {"com.example/other": {}}}, {"elicitation": {}}]
    async with followed(tmp_path, app) as (gate, _), gate.client(gate.token("planner")) as client:
        for declared in undeclared:
            for kind in (b'"task"', b'"t\\u0061sk"'):
                app.odd["greet"] = msgspec.json.encode(TASK).replace(b'"task"', kind)
                answer = await ask(client, "tools/call", {"name": "jobs__greet", "arguments": {}}, declared=declared)
                assert code_of(answer) == "unsupported_result"


ODD_ANSWERS: list[tuple[str, bytes]] = [
    ("no object", b"[]"),
    ("no task", b'{"resultType":"complete"}'),
    ("another task", b'{"resultType":"complete","taskId":"other","status":"working"}'),
    ("another status", b'{"resultType":"complete","taskId":"job","status":"lost"}'),
]


@pytest.mark.requirement("mcp.tasks.odd-upstreams")
async def test_an_answer_about_no_task_or_another_is_refused(tmp_path: Path) -> None:
    app, limits = TaskServer(), "limits: {result_bytes: 200000}\n"
    async with followed(tmp_path, app, limits) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
        for what, raw in ODD_ANSWERS:
            app.odd["tasks/get"] = raw
            assert code_of(await ask(client, "tasks/get", {"taskId": task_id})) == "upstream_garbage", what
        app.odd["tasks/get"] = b'{"taskId":"job","status":"working","statusMessage":"%b"}' % (b"x" * 300_000)
        assert code_of(await ask(client, "tasks/get", {"taskId": task_id})) == "upstream_too_large"
        for odd in (b"[]", b'{"taskId":"other"}', b'{"taskId":7}'):
            app.odd["tasks/update"] = app.odd["tasks/cancel"] = odd
            for method in ("tasks/update", "tasks/cancel"):
                about: Json = {"taskId": task_id, "inputResponses": {}}
                assert code_of(await ask(client, method, about)) == "upstream_garbage"
        check_books(await gate.settled())


@pytest.mark.requirement("mcp.tasks.bytes")
async def test_only_ids_change_in_what_a_task_says(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute"))["taskId"]
        native = next(iter(server.jobs)).encode()
        related = b'"_meta":{"io.modelcontextprotocol/related-task": {"more":[1,{}] , "taskId" : "%b"}}' % native
        inside = b'"result": {"content":[{"type":"text","text":"\\"taskId\\":\\"%b\\""}],"n":1.0,"big":1%s,%b}' % (
            native, b"0" * 40, related.replace(b"[1,{}]", b"[1]"),
        )  # fmt: skip
        raw = b'{"resultType":"complete","taskId":"%b","status":"completed","x":null,%b}' % (native, inside)
        server.odd["tasks/get"] = raw
        body, head = body_of("tasks/get", {"taskId": task_id})
        answered = (await client.post("/mcp", content=body, headers=head)).content
        spaced = inside.replace(b'"result": ', b'"result":', 1)
        expected = spaced.replace(b'"taskId" : "%b"' % native, b'"taskId" : "%b"' % task_id.encode())
        assert expected in answered
        assert b'"x":null' in answered
        assert native not in answered.replace(b'\\"%b\\"' % native, b"")


@pytest.mark.requirement("mcp.tasks.bytes")
async def test_what_a_caller_says_of_its_task_reaches_the_upstream_under_the_upstreams_id(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__confirm_delete"))["taskId"]
        (key,) = (await until(client, task_id, "input_required"))["inputRequests"]
        related = {"io.modelcontextprotocol/related-task": {"taskId": task_id}}
        answers = {key: {"action": "accept", "content": {}, "_meta": related}}
        await ask(client, "tasks/update", {"taskId": task_id, "inputResponses": answers, "odd": None})
        sent = server.heard[-1]["params"]
        native = next(iter(server.jobs))
        assert sent["inputResponses"][key]["_meta"] == {"io.modelcontextprotocol/related-task": {"taskId": native}}
        assert sent["odd"] is None
        assert task_id not in str(sent)


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_a_task_of_a_tool_that_is_hidden_now_looks_like_none(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__slow_compute", {"seconds": 60}))["taskId"]
        unknown = await ask(client, "tasks/get", {"taskId": "nothing"})
        (tmp_path / "main.cedar").write_text('permit (principal in Tenant::"globex", action, resource);\n')
        assert await gate.worker.keeper.reload(gate.worker.gateway)
        hidden = await ask(client, "tasks/get", {"taskId": task_id})
        assert hidden["error"] == unknown["error"]


@pytest.mark.requirement("mcp.tasks.told")
async def test_who_listens_hears_of_its_own_tasks_and_no_others(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, server), gate.client(gate.token("planner")) as client:
        mine = (await begun(client, "jobs__confirm_delete", {"filename": "f"}))["taskId"]
        (native,) = server.jobs
        async with gate.client(gate.token("twin")) as twin:
            theirs = (await begun(twin, "jobs__slow_compute", {"seconds": 60}))["taskId"]
        wanted = {"notifications": {"taskIds": [mine, theirs, native, "nothing"]}}
        body, head = body_of("subscriptions/listen", wanted)
        async with client.stream("POST", "/mcp", content=body, headers=head) as stream:
            lines = stream.aiter_lines()
            first = await told(lines)
            assert first["method"] == "notifications/subscriptions/acknowledged"
            assert first["params"]["notifications"] == {"taskIds": [mine]}
            seen = [await told(lines)]
            while seen[-1]["params"]["status"] != "input_required":
                seen.append(await told(lines))
            (key,) = seen[-1]["params"]["inputRequests"]
            answers: Json = {key: {"action": "accept", "content": {}}}
            await ask(client, "tasks/update", {"taskId": mine, "inputResponses": answers})
            while seen[-1]["params"]["status"] != "completed":
                seen.append(await told(lines))
        assert {one["method"] for one in seen} == {"notifications/tasks"}
        assert {one["params"]["taskId"] for one in seen} == {mine}
        assert seen[-1]["params"]["result"]["content"][0]["text"] == "accept: f"
        assert seen[-1]["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 1}
        assert "resultType" not in seen[-1]["params"]
        listened = [one["params"] for one in server.heard if one["method"] == "subscriptions/listen"]
        assert listened[-1]["notifications"] == {"taskIds": [native]}


@pytest.mark.requirement("mcp.tasks.told")
async def test_who_declares_nothing_hears_of_no_task(tmp_path: Path) -> None:
    async with followed(tmp_path) as (gate, _), gate.client(gate.token("planner")) as client:
        wanted: Json = {"notifications": {"taskIds": []}}
        assert (await ask(client, "subscriptions/listen", wanted, declared={}))["error"]["code"] == -32021
        for odd in ("x", [7], [""], [f"t{n}" for n in range(65)]):
            answer = await ask(client, "subscriptions/listen", {"notifications": {"taskIds": odd}})
            assert answer["error"]["code"] == -32602


async def _wait(job: Job, arguments: Mapping[str, Any]) -> Json:
    del arguments
    await job.elicit("?", {})
    return text("never")


async def test_many_callers_follow_their_own_tasks_at_once(tmp_path: Path) -> None:
    app = TaskServer(offers={"wait": Offer(_wait)})
    async with followed(tmp_path, app) as (gate, server):

        async def one(agent: str) -> set[str]:
            async with gate.client(gate.token(agent)) as client:
                made = [(await begun(client, "jobs__wait"))["taskId"] for _ in range(4)]
                found = [await until(client, task_id, "input_required") for task_id in made]
                assert [task["taskId"] for task in found] == made
                return set(made)

        mine, theirs = await asyncio.gather(one("planner"), one("twin"))
        assert len(mine | theirs) == len(server.jobs) == 8
