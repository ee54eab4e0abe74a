"""How a toolset's agent answers: whole, or with the events of a task, in the caller's own dialect."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

from a2a_gateway import raw, results, streams
from a2a_gateway.operations import MESSAGING
from a2a_gateway.results import Passage
from a2a_gateway.tool_messages import PLAIN
from agent_gateway.listeners.agent_door import Arrived
from agent_gateway.listeners.agent_inbound import TRACE
from agent_gateway.listeners.agent_reply import STREAM_HEADERS, AgentReply
from agent_gateway.listeners.body import ClientGone, ClientWatch
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.tool_tasks import ToolTask
from agent_gateway.snapshot import ToolsetRoute
from agent_gateway.stores.task_store import Where, owner_of

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answering:
    """One request at a toolset's agent, on its way back."""

    arrived: Arrived
    route: ToolsetRoute

    @property
    def where(self) -> Where:
        """Whose tasks the request may speak of."""
        return Where(owner_of(self.arrived.principal), f"toolsets/{self.route.tools.name}")

    def live(self, task_id: str) -> ToolTask | None:
        """Return a task of the caller that is worked on here and known to it."""
        return self.arrived.gateway.tool_tasks.find(self.where, task_id)

    async def hand_over(self, task_id: str) -> bool:
        """Have the worker that a task's id names answer the request; False when that is this one, or gone."""
        arrived = self.arrived
        siblings, node = arrived.gateway.siblings, arrived.gateway.tool_tasks.node_of(task_id)
        if not siblings.knows(node, arrived.scope):
            return False
        await siblings.relay(node, arrived.scope, arrived.request.body, arrived.receive, arrived.send)
        return True

    def record(self, size_bytes: int) -> None:
        """Leave a record of an answer that calls nothing."""
        arrived = self.arrived
        found = {name: arrived.headers.get(name.encode(), b"").decode("latin-1") for name in TRACE}
        context = {name: value for name, value in found.items() if value}
        operation = arrived.request.operation.value
        arrived.gateway.record_list(operation, arrived.principal, self.route.name, context, size_bytes)

    async def whole(self, result: Raw) -> None:
        """Answer at once with a result of 1.0."""
        request = self.arrived.request
        if request.operation in MESSAGING:
            result = raw.write({"task": result})
        else:
            self.record(len(bytes(result)))
        body = self._enveloped(bytes(result))
        status, kind = 200, JSON
        if request.dialect != PLAIN:
            said = results.whole(self._passage, 200, body)
            status, kind, body = said.http_status, said.content_type, said.body
        await send_bytes(self.arrived.send, status, body, [(b"content-type", kind.encode())])

    async def stream(self, task: ToolTask, *, ends_at_rest: bool) -> None:
        """Answer with the task as it stands, and with what happens to it; whoever leaves ends this alone."""
        arrived, gateway = self.arrived, self.arrived.gateway
        now = asyncio.get_running_loop().time()
        reply = AgentReply(arrived.send, now=now, write_timeout_s=gateway.write_timeout_s)
        with gateway.running(arrived.principal, None, reply) as in_charge:
            watch = ClientWatch(arrived.receive, in_charge.cancel)
            try:
                await reply.start(STREAM_HEADERS)
                async with contextlib.aclosing(task.events(ends_at_rest=ends_at_rest)) as events:
                    async for event in events:
                        await reply.write(self._event(event))
                if arrived.request.operation not in MESSAGING:
                    self.record(reply.bytes_out)
                await reply.end()
            except ClientGone:
                return
            except asyncio.CancelledError:
                if not in_charge.was_cancelled:
                    raise
                in_charge.forgive()
            finally:
                in_charge.is_done = True
                watch.stop()

    def _event(self, event: bytes) -> bytes:
        data, kind = self._enveloped(event), "message"
        if self.arrived.request.dialect != PLAIN:
            data, kind = results.event(self._passage, data)
        return streams.event(data, kind)

    def _enveloped(self, result: bytes) -> bytes:
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (self.arrived.request.id_raw or b"null", result)

    @property
    def _passage(self) -> Passage:
        request = self.arrived.request
        return Passage(request.operation, PLAIN, request.dialect, request.id_raw)


def shown(body: bytes, history: int | None, *, with_artifacts: bool = True) -> Raw:
    """Return a task as it is answered: with as much of its history as is wanted, None for all of it."""
    members = raw.members(body)
    if not with_artifacts:
        members.pop("artifacts", None)
    messages = raw.elements(members.pop("history", Raw(b"[]")))
    kept = messages if history is None else messages[len(messages) - min(history, len(messages)) :]
    if kept:
        members["history"] = raw.write(kept)
    return raw.write(members)
