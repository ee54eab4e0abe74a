"""Tasks of 2025-11-25 through the gateway, and the way between them and the extension, in the cells of both eras."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from support.gateways import TestGateway, gateway
from support.legacy_task_server import CAPABILITIES, LegacyTaskServer, methods
from support.scenes import FILES, check_books, of_kind, world
from support.task_clients import Session, ask, begun, body_of, code_of, told, until
from support.task_jobs import Job, Json, Offer, confirm_delete, multi_input, slow_compute, text
from support.task_server import EXTENSION, TaskServer, served

RULES = 'tools: {"*": {risk: 1, read_only: true, price_micros: 100}}'


@asynccontextmanager
async def followed(
    folder: Path, app: LegacyTaskServer, more: str = "", **files: str
) -> AsyncGenerator[tuple[TestGateway, LegacyTaskServer]]:
    """A gateway in front of a legacy server of tasks."""
    with anyio.fail_after(60):
        async with served(app) as server:
            entry = f"  jobs: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
            async with gateway(folder, world([entry], more), **{**FILES, **files}) as gate:
                yield gate, server


# --- legacy and legacy -----------------------------------------------------------------------


@pytest.mark.requirement("mcp.tasks.legacy")
async def test_a_legacy_task_is_followed_under_an_id_of_the_callers_own(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        assert session.capabilities["tasks"] == CAPABILITIES["tasks"]
        made = await session.begin("jobs__slow_compute", {"label": "a"})
        native = next(iter(server.jobs))
        assert made["taskId"] != native
        done = await session.until(made["taskId"], "completed")
        assert done["taskId"] == made["taskId"]
        assert "result" not in done
        result = (await session.ask("tasks/result", {"taskId": made["taskId"]}))["result"]
        assert result["content"][0]["text"] == "computed a"
        assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": made["taskId"]}
        over = await session.ask("tasks/cancel", {"taskId": made["taskId"]})
        assert over["error"]["code"] == -32602
        check_books(await gate.settled())


@pytest.mark.requirement("mcp.tasks.legacy")
async def test_what_a_legacy_task_asks_is_asked_on_the_stream_of_its_result(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open({"elicitation": {}})
        task_id = (await session.begin("jobs__confirm_delete", {"filename": "f"}))["taskId"]
        await session.until(task_id, "input_required")
        result = (await session.ask("tasks/result", {"taskId": task_id}))["result"]
        assert result["content"][0]["text"] == "accept: f"
        (asked,) = session.asked
        assert asked["params"]["_meta"] == {"io.modelcontextprotocol/related-task": {"taskId": task_id}}
        assert next(iter(server.jobs)) not in str(asked["params"])


@pytest.mark.requirement("mcp.tasks.legacy")
async def test_a_legacy_task_is_cancelled_and_then_over(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        task_id = (await session.begin("jobs__slow_compute", {"seconds": 60}))["taskId"]
        told = (await session.ask("tasks/cancel", {"taskId": task_id}))["result"]
        assert (told["taskId"], told["status"]) == (task_id, "cancelled")
        assert [job.status for job in server.jobs.values()] == ["cancelled"]


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_a_legacy_list_shows_ones_own_tasks_page_by_page(tmp_path: Path) -> None:
    async with (
        followed(tmp_path, LegacyTaskServer(is_shared=True)) as (gate, server),
        gate.client(gate.token("planner")) as client,
        gate.client(gate.token("twin")) as other,
    ):
        session, twin = await Session(client).open(), await Session(other).open()
        mine = [(await session.begin("jobs__slow_compute", {"seconds": 60}))["taskId"] for _ in range(22)]
        theirs = (await twin.begin("jobs__slow_compute", {"seconds": 60}))["taskId"]
        first = (await session.ask("tasks/list"))["result"]
        second = (await session.ask("tasks/list", {"cursor": first["nextCursor"]}))["result"]
        assert "nextCursor" not in second
        assert {one["taskId"] for one in first["tasks"] + second["tasks"]} == set(mine)
        assert [one["taskId"] for one in (await twin.ask("tasks/list"))["result"]["tasks"]] == [theirs]
        for cursor in (first["nextCursor"] + "A", "x", 7):
            assert (await session.ask("tasks/list", {"cursor": cursor}))["error"]["code"] == -32602
        foreign = await twin.ask("tasks/list", {"cursor": first["nextCursor"]})
        assert foreign["error"]["code"] == -32602
        assert "tasks/list" not in methods(server.heard)
        check_books(await gate.settled())


@pytest.mark.requirement("mcp.tasks.own-only")
async def test_a_legacy_task_that_is_not_ones_own_looks_like_none(tmp_path: Path) -> None:
    async with (
        followed(tmp_path, LegacyTaskServer(is_shared=True)) as (gate, server),
        gate.client(gate.token("planner")) as client,
        gate.client(gate.token("twin")) as other,
    ):
        session, twin = await Session(client).open(), await Session(other).open()
        task_id = (await session.begin("jobs__slow_compute", {"seconds": 60}))["taskId"]
        count = len(server.heard)
        answers = [
            await one.ask(method, {"taskId": name})
            for method in ("tasks/get", "tasks/result", "tasks/cancel")
            for one, name in ((twin, task_id), (session, "nothing"), (session, next(iter(server.jobs))))
        ]
        assert len({msgspec.json.encode(answer["error"]) for answer in answers}) == 1
        assert answers[0]["error"]["code"] == -32602
        assert len(server.heard) == count


@pytest.mark.requirement("mcp.tasks.legacy")
async def test_a_task_is_asked_for_only_where_it_may_be(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        refused = await session.call("jobs__greet", {"name": "x"}, task={})
        assert refused["error"]["code"] == -32601
        odd = await session.call("jobs__slow_compute", {}, task="yes")
        assert odd["error"]["code"] == -32602
        assert not server.jobs
        old = await Session(client).open(version="2025-06-18")
        assert "tasks" not in old.capabilities


@pytest.mark.requirement("mcp.tasks.legacy")
async def test_who_runs_no_tasks_is_asked_for_none(tmp_path: Path) -> None:
    app = LegacyTaskServer(capabilities={"tools": {}})
    async with followed(tmp_path, app) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        assert "tasks" not in session.capabilities
        plain = await session.call("jobs__slow_compute", {"label": "a"}, task={})
        assert plain["result"]["content"][0]["text"] == "computed a"
        assert "task" not in server.heard[-1]["params"]


@pytest.mark.requirement("mcp.tasks.told")
async def test_a_legacy_session_hears_how_its_tasks_go(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        async with client.stream("GET", "/mcp", headers=session.headers) as stream:
            task_id = (await session.begin("jobs__slow_compute", {"seconds": 60}))["taskId"]
            lines = stream.aiter_lines()
            first = await told(lines)
            assert first["method"] == "notifications/tasks/status"
            assert (first["params"]["taskId"], first["params"]["status"]) == (task_id, "working")
            await session.ask("tasks/cancel", {"taskId": task_id})
            assert (await told(lines))["params"]["status"] == "cancelled"
        assert next(iter(server.jobs)) not in str(first)


@pytest.mark.requirement("mcp.tasks.told")
async def test_a_modern_caller_hears_of_a_legacy_task(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, _), gate.client(gate.token("planner")) as client:
        task_id = (await begun(client, "jobs__failing_job"))["taskId"]
        body, head = body_of("subscriptions/listen", {"notifications": {"taskIds": [task_id]}})
        async with client.stream("POST", "/mcp", content=body, headers=head) as stream:
            lines = stream.aiter_lines()
            assert (await told(lines))["params"]["notifications"] == {"taskIds": [task_id]}
            found = await told(lines)
            while found["params"]["status"] != "completed":
                found = await told(lines)
            assert found["params"]["result"]["isError"] is True


# --- driven here -----------------------------------------------------------------------------


@pytest.mark.requirement("mcp.tasks.driven")
async def test_a_tool_that_must_be_a_task_is_driven_for_callers_that_follow_none(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        plain = await ask(client, "tools/call", {"name": "jobs__failing_job", "arguments": {}}, declared={})
        assert plain["result"]["isError"] is True
        assert plain["result"]["resultType"] == "complete"
        session = await Session(client).open()
        result = (await session.call("jobs__failing_job"))["result"]
        assert result["content"][0]["text"] == "the job failed"
        native = str(list(server.jobs))
        assert "related-task" not in str(result) + str(plain), native
        shown = {one["name"]: one["execution"] for one in (await session.ask("tools/list"))["result"]["tools"]}
        assert shown["jobs__failing_job"] == {"taskSupport": "optional"}
        assert shown["jobs__greet"] == {"taskSupport": "forbidden"}
        found = await gate.settled()
        check_books(found)
        assert [one["status"] for one in of_kind(found, "outcome")] == ["tool_error", "tool_error"]


@pytest.mark.requirement("mcp.tasks.driven")
async def test_a_caller_that_leaves_cancels_the_task_that_is_driven_for_it(tmp_path: Path) -> None:
    app = LegacyTaskServer()
    app.offers = {"long": Offer(slow_compute, "required", {"seconds": {"type": "number"}})}
    async with followed(tmp_path, app) as (gate, server), gate.client(gate.token("planner")) as client:
        call = asyncio.ensure_future(
            ask(client, "tools/call", {"name": "jobs__long", "arguments": {"seconds": 60}}, declared={})
        )
        while "tasks/result" not in methods(server.heard):
            await anyio.lowlevel.checkpoint()
        call.cancel()
        (job,) = server.jobs.values()
        while not job.is_over:
            await job.changed.wait()
        assert job.status == "cancelled"


@pytest.mark.requirement("mcp.tasks.driven")
async def test_a_driven_task_tells_its_progress(tmp_path: Path) -> None:
    async def asked_twice(_: Job, arguments: Mapping[str, Any]) -> Json:
        del arguments
        while methods(server.heard).count("tasks/get") < 2:
            await anyio.lowlevel.checkpoint()
        return text("done")

    app = LegacyTaskServer(offers={"long": Offer(asked_twice, "required")})
    async with followed(tmp_path, app) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        result = (await session.call("jobs__long", _meta={"progressToken": "p"}))["result"]
        assert result["content"][0]["text"] == "done"
        told = [one["params"] for one in session.told]
        assert told[0] == {"progress": 1, "message": "long is working", "progressToken": "p"}


@pytest.mark.requirement("mcp.tasks.driven")
async def test_a_driven_task_keeps_to_the_time_of_its_call(tmp_path: Path) -> None:
    app = LegacyTaskServer(offers={"long": Offer(slow_compute, "required", {"seconds": {"type": "number"}})})
    more = "limits: {call_timeout_s: 2}\n"
    async with followed(tmp_path, app, more) as (gate, server), gate.client(gate.token("planner")) as client:
        session = await Session(client).open()
        late = await session.call("jobs__long", {"seconds": 60})
        assert code_of(late) == "upstream_timeout"
        (job,) = server.jobs.values()
        while not job.is_over:
            await job.changed.wait()
        assert job.status == "cancelled"


@pytest.mark.requirement("mcp.tasks.driven")
async def test_what_a_driven_task_asks_is_asked_of_its_caller(tmp_path: Path) -> None:
    app = LegacyTaskServer(offers={"delete": Offer(confirm_delete, "required")})
    async with followed(tmp_path, app) as (gate, _), gate.client(gate.token("planner")) as client:
        session = await Session(client).open({"elicitation": {}})
        result = (await session.call("jobs__delete", {"filename": "f"}))["result"]
        assert result["content"][0]["text"] == "accept: f"
        assert "related-task" not in str(session.asked)
        call: Json = {"name": "jobs__delete", "arguments": {"filename": "g"}}
        asked = (await ask(client, "tools/call", call, declared={"elicitation": {}}))["result"]
        (key,) = asked["inputRequests"]
        assert "related-task" not in str(asked)
        answers = {"inputResponses": {key: {"action": "decline"}}, "requestState": asked["requestState"]}
        done = await ask(client, "tools/call", {**call, **answers}, declared={"elicitation": {}})
        assert done["result"]["content"][0]["text"] == "decline: g"


# --- modern caller, legacy upstream ----------------------------------------------------------

FOLLOWS: Json = {"extensions": {EXTENSION: {}}, "elicitation": {}}


@pytest.mark.requirement("mcp.tasks.across")
async def test_a_modern_caller_follows_a_legacy_task_as_one_of_the_extension(tmp_path: Path) -> None:
    async with followed(tmp_path, LegacyTaskServer()) as (gate, server), gate.client(gate.token("planner")) as client:
        offered = (await ask(client, "server/discover", {}))["result"]["capabilities"]
        assert offered["extensions"] == {EXTENSION: {}}
        made = await begun(client, "jobs__failing_job")
        assert {"ttlMs", "pollIntervalMs"} <= made.keys()
        assert not {"ttl", "pollInterval", "task"} & made.keys()
        done = await until(client, made["taskId"], "completed")
        assert done["result"]["isError"] is True
        assert "related-task" not in str(done)
        assert done["resultType"] == "complete"
        for _ in range(2):  # too late, which the extension acknowledges
            assert (await ask(client, "tasks/cancel", {"taskId": made["taskId"]}))["result"]["resultType"] == "complete"
        server.jobs.clear()
        assert (await ask(client, "tasks/get", {"taskId": made["taskId"]}))["error"]["code"] == -32602


@pytest.mark.requirement("mcp.tasks.across")
async def test_a_modern_caller_answers_what_a_legacy_task_asks(tmp_path: Path) -> None:
    app = LegacyTaskServer(offers={"ask": Offer(multi_input, "required")})
    async with followed(tmp_path, app) as (gate, _), gate.client(gate.token("planner")) as client:
        made = await ask(client, "tools/call", {"name": "jobs__ask", "arguments": {}}, declared=FOLLOWS)
        task_id = made["result"]["taskId"]

        async def asked(count: int) -> Json:
            while True:
                found = (await ask(client, "tasks/get", {"taskId": task_id}, declared=FOLLOWS))["result"]
                if len(found.get("inputRequests", {})) == count:
                    return found

        first, second = (await asked(2))["inputRequests"]
        for key in (first, second):
            answer: Json = {key: {"action": "accept", "content": {}}}
            told = await ask(client, "tasks/update", {"taskId": task_id, "inputResponses": answer}, declared=FOLLOWS)
            assert told["result"]["resultType"] == "complete"
            if key == first:
                assert list((await asked(1))["inputRequests"]) == [second]
        done = await until(client, task_id, "completed")
        assert done["result"]["content"][0]["text"] == "accept, accept"
        assert not len(gate.worker.gateway.parked)


# --- legacy caller, modern upstream ----------------------------------------------------------


@pytest.mark.requirement("mcp.tasks.across")
async def test_a_legacy_caller_asks_a_modern_upstream_for_a_task(tmp_path: Path) -> None:
    class Saying(TaskServer):
        def definitions(self) -> list[Json]:
            found = super().definitions()
            return [{**one, "execution": {"taskSupport": self.offers[one["name"]].support}} for one in found]

    with anyio.fail_after(60):
        async with served(Saying()) as server:
            entry = f"  jobs: {{url: '{server.url}', allow_private: true, {RULES}}}\n"
            async with gateway(tmp_path, world([entry]), **FILES) as gate, gate.client(gate.token("planner")) as client:
                session = await Session(client).open({"elicitation": {}})
                assert "tasks" in session.capabilities
                task_id = (await session.begin("jobs__confirm_delete", {"filename": "f"}))["taskId"]
                shown = await session.until(task_id, "input_required")
                assert {"ttl", "pollInterval"} <= shown.keys()
                assert not {"ttlMs", "inputRequests", "resultType", "_meta"} & shown.keys()
                result = (await session.ask("tasks/result", {"taskId": task_id}))["result"]
                assert result["content"][0]["text"] == "accept: f"
                assert result["_meta"] == {"io.modelcontextprotocol/related-task": {"taskId": task_id}}
                assert session.asked[0]["params"]["_meta"] == result["_meta"]
                failed = (await session.begin("jobs__failing_job"))["taskId"]
                assert (await session.until(failed, "failed"))["status"] == "failed"
                broken = (await session.begin("jobs__protocol_error_job"))["taskId"]
                assert (await session.ask("tasks/result", {"taskId": broken}))["error"]["code"] == -32603
                long = (await session.begin("jobs__slow_compute", {"seconds": 60}))["taskId"]
                assert (await session.ask("tasks/cancel", {"taskId": long}))["result"]["status"] == "cancelled"
                assert (await session.ask("tasks/cancel", {"taskId": long}))["error"]["code"] == -32602
                assert (await session.ask("tasks/result", {"taskId": long}))["error"]["code"] == -32602
                listed = (await session.ask("tasks/list"))["result"]["tasks"]
                assert {one["taskId"] for one in listed} == {task_id, failed, broken, long}
                server.odd["slow_compute"] = b'{"content":[],"resultType":"complete"}'
                at_once: dict[str, Any] = await session.call("jobs__slow_compute", task={})
                assert at_once["result"] == {"content": []}
                check_books(await gate.settled())
