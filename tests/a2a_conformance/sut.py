"""The agent under test: what a message's id begins with says what the agent does, as the official TCK has it.

On the official SDK, both bindings, both versions, push and an extended card: `sut.py --port P`.
Ids of the TCK's feature files (branch 1.0-dev) are served, so that it can be run against it.
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Message, Part, Role, Task, TaskState
from a2a.types.a2a_pb2 import TaskStatus
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from httpx import AsyncClient
from starlette.applications import Starlette

LONG_S = 4.0  # how long a task works that is subscribed to

Act = Callable[[TaskUpdater], Awaitable[None]]


def file_part() -> Part:
    return Part(raw=b"file content", filename="output.txt", media_type="text/plain")


async def complete(updater: TaskUpdater) -> None:
    await updater.complete(updater.new_agent_message([Part(text="Hello from TCK")]))


async def ask(updater: TaskUpdater) -> None:
    await updater.requires_input(updater.new_agent_message([Part(text="more, please")]))


async def reject(updater: TaskUpdater) -> None:
    await updater.reject(updater.new_agent_message([Part(text="rejected")]))


def with_artifact(part: Part) -> Act:
    async def act(updater: TaskUpdater) -> None:
        await updater.add_artifact([part], name="result")
        await updater.complete()

    return act


async def in_chunks(updater: TaskUpdater) -> None:
    await updater.add_artifact([Part(text="chunk-1 ")], artifact_id="chunked", append=False, last_chunk=False)
    await updater.add_artifact([Part(text="chunk-2")], artifact_id="chunked", append=True, last_chunk=True)
    await updater.complete()


async def work_long(updater: TaskUpdater) -> None:
    await asyncio.sleep(LONG_S)
    await updater.complete()


DATA = ParseDict({"key": "value", "count": 42}, Value())
ACTS: Mapping[str, Act] = {  # the longest beginning that fits counts
    "tck-complete-task": complete,
    "tck-artifact-text": with_artifact(Part(text="Generated text content")),
    "tck-artifact-file": with_artifact(file_part()),
    "tck-artifact-file-url": with_artifact(
        Part(url="https://example.com/output.txt", filename="output.txt", media_type="text/plain")
    ),
    "tck-artifact-data": with_artifact(Part(data=DATA)),
    "tck-input-required": ask,
    "tck-reject-task": reject,
    "tck-stream-001": with_artifact(Part(text="Stream hello from TCK")),
    "tck-stream-003": with_artifact(Part(text="Stream task lifecycle")),
    "tck-stream-ordering-001": with_artifact(Part(text="Ordered output")),
    "tck-stream-artifact-text": with_artifact(Part(text="Streamed text content")),
    "tck-stream-artifact-file": with_artifact(file_part()),
    "tck-stream-artifact-chunked": in_chunks,
    "test-resubscribe-message-id": work_long,
}


class UnderTest(AgentExecutor):
    """Does what the id of a message asks for; completes the task for any other."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        message_id = context.message.message_id
        if message_id.startswith("tck-message-response"):
            answer = Message(message_id=f"answer-{message_id}", role=Role.ROLE_AGENT, context_id=context.context_id)
            answer.parts.append(Part(text="Direct message response"))
            await event_queue.enqueue_event(answer)
            return
        task = context.current_task
        task_id = task.id if task is not None else context.task_id
        context_id = task.context_id if task is not None else context.context_id
        assert task_id is not None
        assert context_id is not None
        if task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(
                Task(id=task_id, context_id=context_id, status=status, history=[context.message])
            )
        updater = TaskUpdater(event_queue, task_id, context_id)
        await updater.start_work()
        await act_for(message_id)(updater)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def act_for(message_id: str) -> Act:
    fitting = [beginning for beginning in ACTS if message_id.startswith(beginning)]
    return ACTS[max(fitting, key=len)] if fitting else complete


def card_at(url: str, versions: Sequence[str]) -> AgentCard:
    interfaces = [
        AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
        for version in versions
        for binding in ("JSONRPC", "HTTP+JSON")
    ]
    skill = AgentSkill(id="tck", name="TCK", description="does what a message's id asks for", tags=["tck"])
    return AgentCard(
        name="Under test", description="the agent under test", version="1.0.0", supported_interfaces=interfaces,
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"], skills=[skill],
    )  # fmt: skip


async def anywhere(url: str) -> bool:
    """Take any webhook: the receivers of tests are on loopback."""
    del url
    return True


def app_at(url: str, versions: Sequence[str]) -> Starlette:
    card = card_at(url, versions)
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        UnderTest(), InMemoryTaskStore(), card, push_config_store=configs, extended_agent_card=card,
        push_sender=BasePushNotificationSender(AsyncClient(), configs), push_url_validator=anywhere,
    )  # fmt: skip
    rpc = create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True)
    rest = create_rest_routes(handler, enable_v0_3_compat=True)
    return Starlette(routes=[*create_agent_card_routes(card, cache_control="public, max-age=60"), *rpc, *rest])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--versions", default="1.0", help="that its card names, with commas; both are spoken")
    flags = parser.parse_args()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", flags.port))
    port: int = sock.getsockname()[1]

    class Telling(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"PORT {port}", flush=True)

    app = app_at(f"http://127.0.0.1:{port}", flags.versions.split(","))
    Telling(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[sock])


if __name__ == "__main__":
    main()
