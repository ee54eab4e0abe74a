"""A server of tasks in the form of 2025-11-25, by hand: an ASGI app with sessions that own their tasks.

`tasks/result` waits on an event stream and asks there what the task asks.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.task_jobs import OFFERS, POLL_MS, TTL_MS, Fault, Job, Json, Offer
from support.task_server import Receive, Refused, Scope, Send, body_of, say

CAPABILITIES: Json = {"tools": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
RELATED = "io.modelcontextprotocol/related-task"


def task_of(job: Job) -> Json:
    """Return a job as a legacy task: a tool that failed has failed as a task too."""
    is_failed = job.status == "completed" and job.result is not None and job.result.get("isError")
    return {
        "taskId": job.id,
        "status": "failed" if is_failed else job.status,
        "statusMessage": f"{job.tool} is {job.status}",
        "createdAt": job.created,
        "lastUpdatedAt": job.updated,
        "ttl": TTL_MS,
        "pollInterval": POLL_MS,
    }


@dataclass
class LegacyTaskServer:
    """The app; `heard` is every request it answered, in order.

    is_shared  whether every session knows every task
    """

    offers: Mapping[str, Offer] = field(default_factory=lambda: dict(OFFERS))
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    heard: list[Json] = field(default_factory=list[Json])
    odd: dict[str, bytes] = field(default_factory=dict[str, bytes])
    capabilities: Json = field(default_factory=lambda: dict(CAPABILITIES))
    is_shared: bool = False
    url: str = ""
    _owners: dict[str, str] = field(default_factory=dict[str, str])
    _asked: "dict[str, asyncio.Future[Json]]" = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = dict(scope["headers"]).get(b"mcp-session-id", b"").decode()
        if scope["method"] != "POST":
            await say(send, 405 if scope["method"] == "GET" else 200, b"")
            return
        message: Json = json.loads(await body_of(receive))
        method = message.get("method")
        if method is None:
            waiting = self._asked.pop(message["id"], None)
            if waiting is not None:
                waiting.set_result(message.get("result", {"action": "cancel"}))
            await say(send, 202, b"")
        elif "id" not in message:
            self.heard.append(message)
            await say(send, 202, b"")
        elif method == "initialize":
            await self._initialize(message, send)
        elif method == "server/discover" or not session:
            await self._answer(message, send, {"error": {"code": -32000, "message": "no session"}}, 400)
        else:
            self.heard.append(message)
            await self._serve(message, session, receive, send)

    async def _initialize(self, message: Json, send: Send) -> None:
        result = {
            "protocolVersion": "2025-11-25",
            "capabilities": self.capabilities,
            "serverInfo": {"name": "jobs", "version": "1"},
        }
        head = [(b"mcp-session-id", secrets.token_hex(8).encode())]
        await self._answer(message, send, {"result": result}, 200, head)

    async def _serve(self, message: Json, session: str, receive: Receive, send: Send) -> None:
        method, params = message["method"], message.get("params", {})
        raw = self.odd.get(method) or self.odd.get(str(params.get("name")))
        try:
            if raw is not None:
                result: Json = json.loads(raw)
            elif method == "tasks/result":
                await self._result(message, self._job(params, session), receive, send)
                return
            elif method == "tools/call":
                result = await self._call(params, session)
            else:
                result = self._about(method, params, session)
            await self._answer(message, send, {"result": result})
        except Refused as refused:
            await self._answer(message, send, {"error": refused.error})

    def _about(self, method: str, params: Json, session: str) -> Json:
        if method == "tools/list":
            return {
                "tools": [
                    {
                        "name": name,
                        "inputSchema": {"type": "object", "properties": offer.properties},
                        "execution": {"taskSupport": offer.support},
                    }
                    for name, offer in self.offers.items()
                ]
            }
        if method == "tasks/list":
            return {"tasks": [task_of(job) for job in self.jobs.values()]}
        if method not in ("tasks/get", "tasks/cancel"):
            raise Refused(-32601, "no such method")
        job = self._job(params, session)
        if method == "tasks/cancel":
            if job.is_over:
                raise Refused(-32602, f"Cannot cancel task: already in terminal status '{job.status}'")
            job.cancel()
        return task_of(job)

    async def _call(self, params: Json, session: str) -> Json:
        offer, arguments = self.offers[params["name"]], params.get("arguments", {})
        job = Job(params["name"])
        is_asked = "task" in params
        if (offer.support == "required") != is_asked and offer.support != "optional":
            raise Refused(-32601, "this tool runs as a task, or does not")
        if is_asked:
            self.jobs[job.id], self._owners[job.id] = job, session
            job.begin(offer.run, arguments)
            return {"task": task_of(job)}
        try:
            return await offer.run(job, arguments)
        except Fault as fault:
            raise Refused(fault.error["code"], fault.error["message"]) from None

    def _job(self, params: Json, session: str) -> Job:
        job = self.jobs.get(str(params.get("taskId")))
        if job is None or not (self.is_shared or self._owners[job.id] == session):
            raise Refused(-32602, "Failed to retrieve task: Task not found")
        return job

    async def _result(self, message: Json, job: Job, receive: Receive, send: Send) -> None:
        """Wait for the outcome; ask on the way what the job asks."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        related = {RELATED: {"taskId": job.id}}

        async def put(key: str, question: Json) -> None:
            ask_id = f"{job.id}/{key}/{secrets.token_hex(4)}"
            self._asked[ask_id] = asyncio.get_running_loop().create_future()
            params = {**question["params"], "_meta": related}
            await _event(send, {"jsonrpc": "2.0", "id": ask_id, "method": question["method"], "params": params})
            job.answer(key, await self._asked[ask_id])

        askers: dict[str, asyncio.Task[None]] = {}
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while not job.is_over and not gone.done():
                changed = asyncio.ensure_future(job.changed.wait())
                for key, question in list(job.asked.items()):
                    if key not in askers:
                        askers[key] = asyncio.ensure_future(put(key, question))
                await asyncio.wait({changed, gone}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            gone.cancel()
            for asker in askers.values():
                asker.cancel()
        if job.status == "cancelled":
            outcome: Json = {"error": {"code": -32602, "message": "the task was cancelled"}}
        elif job.error is not None:
            outcome = {"error": job.error}
        else:
            outcome = {"result": {**(job.result or {}), "_meta": related}}
        await _event(send, {"jsonrpc": "2.0", "id": message["id"], **outcome}, more=False)

    async def _answer(
        self, message: Json, send: Send, answer: Json, status: int = 200, head: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        await say(send, status, json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode(), head or [])


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _event(send: Send, message: Json, *, more: bool = True) -> None:
    data = b"data: %b\n\n" % json.dumps(message).encode()
    await send({"type": "http.response.body", "body": data, "more_body": more})


def methods(heard: list[Json]) -> list[Any]:
    """Return what was asked, in order."""
    return [message["method"] for message in heard]
