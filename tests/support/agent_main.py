"""A real A2A agent on the official SDK, in a process of its own: does what the first word of a message says.

    say X     answer with a message
    do X      a task with one artifact, completed
    wait      a task that works until somebody posts to `/release`, then has an artifact, and completes
    ask       a task that wants more input; the next message completes it
    fail      a task that fails

`/seen` tells every request that came: path, headers, body. `/release` lets all that wait go on.
"""

import argparse
import asyncio
import socket
from typing import Any

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Message,
    Part,
    Role,
    Task,
    TaskState,
    TaskStatus,
)
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Worker(AgentExecutor):
    """Does what it is told."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        text = context.get_user_input()
        verb, _, rest = text.partition(" ")
        task = context.current_task
        if verb == "say":
            parts = [Part(text=rest)]
            await event_queue.enqueue_event(
                Message(message_id="m-" + rest, role=Role.ROLE_AGENT, parts=parts, context_id=context.context_id)
            )
            return
        task_id = task.id if task is not None else context.task_id
        context_id = task.context_id if task is not None else context.context_id
        assert task_id is not None
        assert context_id is not None
        if task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(Task(id=task_id, context_id=context_id, status=status))
        updater = TaskUpdater(event_queue, task_id, context_id)
        await updater.start_work()
        if verb == "wait":
            await self.released.wait()
        if verb == "ask":
            await updater.requires_input(updater.new_agent_message([Part(text="more, please")]))
            return
        if verb == "fail":
            await updater.failed(updater.new_agent_message([Part(text="it went wrong")]))
            return
        await updater.add_artifact([Part(text=rest or verb)], name="result")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card_of(url: str, versions: list[str]) -> AgentCard:
    interfaces = [
        AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
        for version in versions
        for binding in ("JSONRPC", "HTTP+JSON")
    ]
    skills = [
        AgentSkill(id=name, name=name.title(), description=f"{name} something", tags=["test"])
        for name in ("draft", "delete")
    ]
    capabilities = AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True)
    return AgentCard(
        name="Worker", description=f"works at {url}", version="1", supported_interfaces=interfaces,
        capabilities=capabilities, default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        skills=skills,
    )  # fmt: skip


async def anywhere(url: str) -> bool:
    del url
    return True


def app_of(card: AgentCard, worker: Worker, *, is_compatible: bool) -> Starlette:
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        worker, InMemoryTaskStore(), card, push_config_store=configs,
        push_sender=BasePushNotificationSender(AsyncClient(), configs), extended_agent_card=card,
        push_url_validator=anywhere,
    )  # fmt: skip
    seen: list[dict[str, Any]] = []

    async def told(request: Request) -> Response:
        del request
        return JSONResponse(seen)

    async def release(request: Request) -> Response:
        del request
        worker.released.set()
        return Response(status_code=204)

    routes = [
        Route("/seen", told),
        Route("/release", release, methods=["POST"]),
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=is_compatible),
        *create_rest_routes(handler, enable_v0_3_compat=is_compatible),
    ]
    app = Starlette(routes=routes)

    class Watching:
        """Keeps what came, before the agent sees it."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["path"] in ("/seen", "/release"):
                await app(scope, receive, send)
                return
            body = b""
            messages = [await receive()]
            while messages[-1].get("more_body"):
                messages.append(await receive())
            body = b"".join(message.get("body", b"") for message in messages)
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            seen.append(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "query": query,
                    "headers": headers,
                    "body": body.decode(),
                }
            )
            given = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def replay() -> Any:
                return next(given, None) or await receive()

            await app(scope, replay, send)

    outer = Starlette()
    outer.mount("/", Watching())
    return outer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", default="1.0,0.3")
    parser.add_argument("--card-url", default="", help="what the card says, in place of where it is")
    flags = parser.parse_args()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    versions = flags.versions.split(",")
    card = card_of(flags.card_url or f"http://127.0.0.1:{port}/", versions)
    app = app_of(card, Worker(), is_compatible="0.3" in versions)

    class Telling(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"PORT {port}", flush=True)

    Telling(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[sock])
