"""Work that an API accepts (202), followed as tasks by those who declare the extension."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_path
from agent_gateway.upstreams.api_tasks import Job, id_of, job_in, judged, target_on
from context_mesh.wire.read import Answer
from support.api_backend import serving
from support.gateways import META, VERSION, TestGateway, gateway
from support.market import everything

EXTENSION = "io.modelcontextprotocol/tasks"
KEY = "a-secret-of-the-api"
POLICY = 'permit (principal, action, resource) unless { resource.name == "api__drop_big" };'


@dataclass
class Works:
    """An API whose work takes until `replies` are used up; then the last one stays."""

    location: str = "/jobs/7"
    header: str = "location"
    replies: list[Response] = field(default_factory=list[Response])
    asked: list[str] = field(default_factory=list[str])

    async def start(self, request: Request) -> Response:
        self.asked.append(f"POST {request.headers.get('x-key')}")
        return JSONResponse({"accepted": True}, 202, {self.header: self.location, "retry-after": "0"})

    async def look(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path} {request.headers.get('x-key')}")
        if request.method == "DELETE":
            return Response(status_code=204)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def app(self) -> Starlette:
        jobs = Route("/jobs/{number}", self.look, methods=["GET", "DELETE"])
        return Starlette(routes=[Route("/jobs", self.start, methods=["POST"]), jobs,
                                 Route("/results/{number}", self.look), Route("/big/{number}", self.look,
                                                                              methods=["GET", "DELETE"])])  # fmt: skip


def description(url: str) -> dict[str, Any]:
    def operation(name: str, status: str) -> dict[str, Any]:
        return {"operationId": name, "responses": {status: {"description": "x"}}, "security": [{"key": []}]}

    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Works", "version": "1"},
        "servers": [{"url": url}],
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
        "paths": {
            "/jobs": {"post": operation("start", "202")},
            "/jobs/{number}": {"parameters": [number], "delete": operation("drop", "204")},
            "/big/{number}": {"parameters": [number], "delete": operation("dropBig", "204")},
        },
    }


@dataclass
class World:
    gateway: TestGateway
    works: Works
    now: list[float]

    async def ask(self, method: str, agent: str = "planner", *, declared: bool = True, **params: Any) -> dict[str, Any]:
        capabilities: dict[str, Any] = {"extensions": {EXTENSION: {}}} if declared else {}
        meta = {**META, "io.modelcontextprotocol/clientCapabilities": capabilities}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        head = {
            "content-type": "application/json", "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION, "mcp-method": method,
            "mcp-name": str(params.get("name", params.get("taskId"))),
        }  # fmt: skip
        async with self.gateway.client(self.gateway.token(agent)) as client:
            answer: dict[str, Any] = (await client.post("/mcp", content=msgspec.json.encode(body), headers=head)).json()
        return answer.get("result", answer)

    async def start(self) -> dict[str, Any]:
        return await self.ask("tools/call", name="api__start", arguments={})


@asynccontextmanager
async def world(folder: Path, works: Works) -> AsyncGenerator[World]:
    async with serving(works.app()) as url:
        (folder / "api.json").write_bytes(msgspec.json.encode(description(url)))
        place = ApiFolder(folder / "mesh/api")
        import_api(place, from_path(folder / "api.json"))
        approve(place, everything)
        agents = "".join(
            f"  {name}: {{tenant: acme, owner: ops, trust: 5, "
            f'credentials: [{{kind: client_secret, secret: "file:a.secret"}}]}}\n'
            for name in ("planner", "other")
        )
        config = (
            f"tenants: {{acme: {{}}}}\nagents:\n{agents}upstreams:\n  api:\n    kind: openapi\n    url: {url}\n"
            "    allow_private: true\n    poll_s: 30\n"
            '    schemes: {key: {kind: key, value: "file:k.secret"}}\npolicies: {files: [main.cedar]}\n'
        )
        secrets = {"a__secret": "correct horse battery", "k__secret": KEY}
        now = [time.time()]
        async with gateway(folder, config, lambda: now[0], main__cedar=POLICY, **secrets) as running:
            yield World(running, works, now)


def busy() -> Response:
    return JSONResponse({"state": "running"}, 202, {"retry-after": "0"})


def done() -> Response:
    return JSONResponse({"state": "done"})


@pytest.mark.requirement("mesh.tasks")
async def test_accepted_work_is_a_task_of_its_caller_alone(tmp_path: Path) -> None:
    async with world(tmp_path, Works(replies=[busy(), done()])) as here:
        task = await here.start()
        assert (task["resultType"], task["status"], task["ttlMs"]) == ("task", "working", None)
        assert "jobs" not in task["taskId"]
        assert (await here.ask("tasks/get", "other", taskId=task["taskId"]))["error"]["code"] == -32602
        assert here.works.asked == [f"POST {KEY}"]
        early = await here.ask("tasks/get", taskId=task["taskId"])
        assert (early["status"], early["taskId"]) == ("working", task["taskId"])
        assert here.works.asked == [f"POST {KEY}"]  # who asks too early is told what is known
        here.now[0] += 1
        assert (await here.ask("tasks/get", taskId=task["taskId"]))["status"] == "working"
        here.now[0] += 1
        told = await here.ask("tasks/get", taskId=task["taskId"])
        assert told["status"] == "completed"
        assert told["result"]["structuredContent"] == {"state": "done"}
        assert here.works.asked[1:] == [f"GET /jobs/7 {KEY}"] * 2
        assert (await here.ask("tasks/update", taskId=task["taskId"], inputResponses={}))["resultType"] == "complete"
        records = await here.gateway.settled()
        assert {one["operation"] for one in records if one["kind"] == "decision"} >= {"tools/call", "tasks/get"}


async def test_who_declares_nothing_waits_within_the_call(tmp_path: Path) -> None:
    async with world(tmp_path, Works(replies=[busy(), done()])) as here:
        result = await here.ask("tools/call", declared=False, name="api__start", arguments={})
        assert result["structuredContent"] == {"state": "done"}


@pytest.mark.parametrize(
    "where", ["https://evil.example/jobs/7", "//evil.example/jobs/7", "/jobs/" + "7" * 600, "http://[", ""]
)
async def test_work_elsewhere_is_no_task(tmp_path: Path, where: str) -> None:
    async with world(tmp_path, Works(where, replies=[done()])) as here:
        result = await here.start()
        assert "task" not in result.get("resultType", "")
        assert result["structuredContent"] == {"accepted": True}
        assert len(here.works.asked) == 1


async def until_over(here: World) -> dict[str, Any]:
    task = await here.start()
    told: dict[str, Any] = {}
    for _ in range(3):
        here.now[0] += 5
        told = await here.ask("tasks/get", taskId=task["taskId"])
        if told["status"] != "working":
            return told
    raise AssertionError(told)


@pytest.mark.parametrize(
    ("header", "replies", "status", "is_error"),
    [
        ("location", [Response(status_code=404)], "completed", True),
        ("location", [Response(status_code=503, headers={"retry-after": "0"}), done()], "completed", None),
        ("location", [Response(status_code=303, headers={"location": "/results/1"}), done()], "completed",
         None),
        ("location", [Response(status_code=303, headers={"location": "https://evil.example"})], "completed", True),
        ("operation-location", [Response(b'{"status":"In progress"}', headers={"retry-after": "0"}),
                                Response(b'{"status":"Succeeded","n":1}')], "completed", None),
        ("operation-location", [Response(b'{"status":"Failed"}')], "completed", True),
        ("operation-location", [Response(b'{"status":"Canceled"}')], "cancelled", None),
        ("operation-location", [Response(b"[1]")], "completed", None),
    ],
)  # fmt: skip
async def test_how_work_ends(tmp_path: Path, header: str, replies: list[Response], status: str, is_error: Any) -> None:
    async with world(tmp_path, Works(header=header, replies=replies)) as here:
        told = await until_over(here)
        assert told["status"] == status
        assert told.get("result", {}).get("isError") is is_error


@pytest.mark.requirement("mesh.tasks")
async def test_a_cancel_deletes_the_work_where_the_caller_may(tmp_path: Path) -> None:
    async with world(tmp_path, Works(replies=[busy()])) as here:
        task = await here.start()
        assert (await here.ask("tasks/cancel", taskId=task["taskId"]))["resultType"] == "complete"
        told = await here.ask("tasks/get", taskId=task["taskId"])
        assert (told["status"], told["statusMessage"]) == ("cancelled", "`drop` was called, and the API answered 204")
        assert here.works.asked == [f"POST {KEY}", f"DELETE /jobs/7 {KEY}"]
        made = [one for one in await here.gateway.settled() if one["kind"] == "decision"]
        assert made[-1]["capability"]["name"] == "api__start"
        drop = next(one for one in made if one["capability"]["name"] == "api__drop")
        cancel = next(one for one in made if one["operation"] == "tasks/cancel")
        assert (drop["effect"], drop["parent"]) == ("permit", cancel["call"])


@pytest.mark.parametrize("where", ["/big/7", "/results/7"])
async def test_a_cancel_that_the_caller_may_not_is_only_forgotten(tmp_path: Path, where: str) -> None:
    async with world(tmp_path, Works(where, replies=[busy()])) as here:
        task = await here.start()
        await here.ask("tasks/cancel", taskId=task["taskId"])
        told = await here.ask("tasks/get", taskId=task["taskId"])
        assert told["status"] == "cancelled"
        assert "the gateway asks no more" in told["statusMessage"]
        assert here.works.asked == [f"POST {KEY}"]


def test_an_id_leads_nowhere_but_below_the_origin() -> None:
    assert job_in(id_of(Job("t", "/jobs/1", False, 1.0))) == Job("t", "/jobs/1", False, 1.0)
    for target in ("https://evil.example/", "//evil.example/", "jobs"):
        assert job_in(id_of(Job("t", target, False, 1.0))) is None
    for wrong in ("", "%%%", "AAAA", "é"):
        assert job_in(wrong) is None
    here = Answer(202, {}, b"", "https://api.example/v1/jobs?x=1")
    assert target_on(here, "7?sig=a&key=[secret]") == "/v1/7?sig=a"
    assert target_on(here, "/a//b") == "/a//b"
    assert target_on(here, "https://api.example//evil.example") == ""
    assert target_on(here, "/[secret]/1") == ""
    assert target_on(here, "/é") == ""
    assert target_on(here, "/a\nb") in ("", "/ab")
    assert judged(Job("t", "/a", True, 0.0), Answer(500, {}, b'{"status":"running"}'), 0.0) is None
