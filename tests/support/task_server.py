"""A server of the tasks extension, by hand: the SDK lacks it. An ASGI app, alone or around another one.

It answers 2026-07-28: the calls of its tools, `tasks/*`, and `subscriptions/listen` with
`taskIds`. What else it is asked goes to the app inside, if there is one.
"""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, cast

import uvicorn

from support.task_jobs import OFFERS, POLL_MS, TTL_MS, Fault, Job, Json, Offer, text

EXTENSION: Final = "io.modelcontextprotocol/tasks"
MISSING: Final[Json] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
TASK_METHODS: Final = ("tasks/get", "tasks/update", "tasks/cancel")
_META: Final = "io.modelcontextprotocol/"
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str, data: object = None, status: int = 400) -> None:
        super().__init__(message)
        self.error: Json = {"code": code, "message": message, **({"data": data} if data is not None else {})}
        self.status = status


def task_of(job: Job) -> Json:
    """Return a job as a task of the extension."""
    return {
        "taskId": job.id,
        "status": job.status,
        "createdAt": job.created,
        "lastUpdatedAt": job.updated,
        "ttlMs": TTL_MS,
        "pollIntervalMs": POLL_MS,
    }


def detailed(job: Job) -> Json:
    """Return a job as `tasks/get` shows it."""
    found = task_of(job)
    if job.status == "completed":
        found["result"] = job.result
    elif job.status == "failed":
        found["error"] = job.error
    elif job.status == "input_required":
        found["inputRequests"] = dict(job.asked)
    return found


@dataclass
class TaskServer:
    """The app; `heard` is every message it answered itself, in order.

    odd  raw results by method, or by the name of a tool, that are said instead
    """

    inside: App | None = None
    offers: Mapping[str, Offer] = field(default_factory=lambda: dict(OFFERS))
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    heard: list[Json] = field(default_factory=list[Json])
    odd: dict[str, bytes] = field(default_factory=dict[str, bytes])
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            assert self.inside is not None
            await self.inside(scope, receive, send)
            return
        body = await body_of(receive) if scope["method"] == "POST" else b""
        message = _read(body)
        if not self._is_ours(message):
            await self._hand_in(scope, body, receive, send)
            return
        self.heard.append(message)
        name = str(message.get("params", {}).get("name", ""))
        raw = self.odd.get(name) or self.odd.get(str(message["method"]))
        try:
            _check_headers({name.decode(): value.decode() for name, value in scope["headers"]}, message)
            if message["method"] == "subscriptions/listen":
                await self._listen(message, receive, send)
                return
            wrapped = raw if raw is not None else json.dumps(await _ready(self._answer(message))).encode()
            await say(send, 200, b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (_id(message), wrapped))
        except Refused as refused:
            error = json.dumps(refused.error).encode()
            await say(send, refused.status, b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (_id(message), error))

    def _is_ours(self, message: Json) -> bool:
        params: Json = message.get("params") or {}
        if f"{_META}protocolVersion" not in params.get("_meta", {}):
            return self.inside is None
        method = message.get("method")
        if method == "subscriptions/listen":
            return self.inside is None or "taskIds" in params.get("notifications", {})
        if method == "tools/call":
            return self.inside is None or (params.get("name") in self.offers)
        return self.inside is None or method in TASK_METHODS

    async def _hand_in(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        assert self.inside is not None
        waiting = [{"type": "http.request", "body": body, "more_body": False}] if scope["method"] == "POST" else []

        async def again() -> dict[str, Any]:
            return waiting.pop() if waiting else await receive()

        await self.inside(scope, again, send)

    # --- requests ----------------------------------------------------------------------------

    def _answer(self, message: Json) -> "Json | Awaitable[Json]":
        method, params = message["method"], message["params"]
        if method == "server/discover":
            capabilities: Json = {"tools": {}, "extensions": {EXTENSION: {}}}
            hints: Json = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
            return {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, **hints}
        if method == "tools/list":
            return {"tools": self.definitions(), "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        is_declared = EXTENSION in _capabilities(params).get("extensions", {})
        if method == "tools/call":
            return self._call(params, is_declared)
        if method not in TASK_METHODS:
            raise Refused(-32601, "no such method", status=404)
        if not is_declared:
            raise Refused(-32021, "Missing required client capability", MISSING)
        job = self.jobs.get(str(params.get("taskId")))
        if job is None:
            raise Refused(-32602, "Failed to retrieve task: Task not found")
        if method == "tasks/get":
            return {**detailed(job), "resultType": "complete"}
        if method == "tasks/update":
            for key, response in params["inputResponses"].items():
                job.answer(key, response)
        else:
            job.cancel()
        return {"resultType": "complete"}

    def definitions(self) -> list[Json]:
        """Return what the tools' list shows."""
        return [
            {"name": name, "inputSchema": {"type": "object", "properties": offer.properties}}
            for name, offer in self.offers.items()
        ]

    def _call(self, params: Json, is_declared: bool) -> "Json | Awaitable[Json]":
        offer, arguments = self.offers[params["name"]], params.get("arguments", {})
        job = Job(params["name"])
        if offer.support == "forbidden" or (not is_declared and offer.support == "optional"):
            return _at_once(offer, job, arguments)
        if not is_declared:
            raise Refused(-32021, "Missing required client capability", MISSING)
        if params["name"] == "test_tool_with_task":
            responses = params.get("inputResponses")
            if responses is None:
                asked: Json = {"message": "Your name?", "requestedSchema": {"type": "object", "properties": {}}}
                request: Json = {"method": "elicitation/create", "params": {"mode": "form", **asked}}
                return {"resultType": "input_required", "inputRequests": {"who": request}, "requestState": "round-1"}
            arguments = {"user_name": responses["who"].get("content", {}).get("name", "")}
        self.jobs[job.id] = job
        job.begin(offer.run, arguments)
        return {**task_of(job), "resultType": "task"}

    # --- notifications -----------------------------------------------------------------------

    async def _listen(self, message: Json, receive: Receive, send: Send) -> None:
        params = message["params"]
        wanted = [name for name in params["notifications"].get("taskIds", []) if name in self.jobs]
        if "taskIds" in params["notifications"] and EXTENSION not in _capabilities(params).get("extensions", {}):
            raise Refused(-32021, "Missing required client capability", MISSING)
        tag = {"_meta": {f"{_META}subscriptionId": message["id"]}}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await _event(send, "notifications/subscriptions/acknowledged", {"notifications": {"taskIds": wanted}, **tag})

        async def tell(job: Job) -> None:
            while True:
                changed = job.changed
                await _event(send, "notifications/tasks", {**detailed(job), **tag})
                if job.is_over:
                    return
                await changed.wait()

        tellers = [asyncio.ensure_future(tell(self.jobs[name])) for name in wanted]
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            for teller in tellers:
                teller.cancel()


def _at_once(offer: Offer, job: Job, arguments: Json) -> Awaitable[Json]:
    async def run() -> Json:
        try:
            return {**await offer.run(job, arguments), "resultType": "complete"}
        except Fault as fault:
            raise Refused(fault.error["code"], fault.error["message"], status=200) from None

    if offer.run in (OFFERS["confirm_delete"].run, OFFERS["multi_input"].run):  # they ask, and only a task can wait

        async def unasked() -> Json:
            return {**text("nobody was asked"), "resultType": "complete"}

        return unasked()
    return run()


def _check_headers(headers: Mapping[str, str], message: Json) -> None:
    member = {"tools/call": "name", **dict.fromkeys(TASK_METHODS, "taskId")}.get(message["method"])
    name = message["params"].get(member)
    if headers.get("mcp-method") != message["method"] or (name is not None and headers.get("mcp-name") != name):
        raise Refused(-32020, "the headers do not agree with the body")


async def _ready(found: "Json | Awaitable[Json]") -> Json:
    return found if isinstance(found, dict) else await found


def _capabilities(params: Json) -> Json:
    return params.get("_meta", {}).get(f"{_META}clientCapabilities", {})


def _read(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return cast("Json", found) if isinstance(found, dict) else {}


def _id(message: Json) -> bytes:
    return json.dumps(message.get("id")).encode()


async def _event(send: Send, method: str, params: Json) -> None:
    data = json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()
    await send({"type": "http.response.body", "body": b"data: %b\n\n" % data, "more_body": True})


async def body_of(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body", False):
            return body


async def say(send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None) -> None:
    """Answer with JSON; `more` are further headers."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class Served(Protocol):
    """An app that `served` serves."""

    url: str
    jobs: dict[str, Job]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


A = TypeVar("A", bound=Served)


@asynccontextmanager
async def served(app: A) -> AsyncGenerator[A]:
    """Serve on a free loopback port until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    app.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve([listener]))
    try:
        yield app
    finally:
        for job in app.jobs.values():
            job.cancel()
        server.should_exit = True
        await running
