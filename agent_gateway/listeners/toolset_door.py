"""A toolset spoken to as an agent: its card, and the operations that ask after tasks. Messages: `toolset_work`.

The tools are called by the pipeline as at the toolset's own endpoint: the same policies, budgets and
records. Tasks are the caller's own, like those of every agent; a finished one is kept for a day.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from msgspec import Raw

from a2a_gateway import offer as offering
from a2a_gateway import raw
from a2a_gateway.answers import State, state_of
from a2a_gateway.inbound import Inbound
from a2a_gateway.offer import Offer
from a2a_gateway.operations import MESSAGING, Dialect, Operation, Version
from a2a_gateway.parts import invalid
from agent_gateway.listeners.agent_card import asked_in, grpc_of, scheme_of, signed
from agent_gateway.listeners.agent_door import MESSAGE_SCOPE, Arrived, is_about_push
from agent_gateway.listeners.agent_made import in_dialect
from agent_gateway.listeners.agent_pages import Cursors, choice_of, page_size, typed
from agent_gateway.listeners.agent_refusals import other_tenant, push_off, task_not_found
from agent_gateway.listeners.mcp_carry import CALL_SCOPE
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.toolset_answer import Answering, shown
from agent_gateway.listeners.toolset_work import Messaging, names_for
from agent_gateway.runtime.tool_tasks import ToolTask
from agent_gateway.runtime.toolset_agents import card_of, extensions_of, published
from agent_gateway.snapshot import Snapshot, ToolsetRoute
from agent_gateway.stores.ended_tasks import KEEP_S
from agent_gateway.stores.task_store import Choice, Task
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest

_LOST = [{"text": "the worker that ran this task ended before it had"}]


class ToolsetDoor:
    """The door of a toolset that is served as an agent."""

    def __init__(self, route: ToolsetRoute) -> None:
        self.route = route

    @property
    def name(self) -> str:
        return self.route.name

    @property
    def is_public(self) -> bool:
        return self.route.config.visibility == "public"

    @property
    def serve(self) -> tuple[Version, ...]:
        return self.route.config.serve

    @property
    def scopes(self) -> tuple[str, ...]:
        return (MESSAGE_SCOPE, CALL_SCOPE)

    def is_open(self, snapshot: Snapshot, principal: Principal) -> bool:
        return bool(names_for(snapshot, self.route, principal))

    def card(
        self, snapshot: Snapshot, principal: Principal | None, headers: Mapping[bytes, bytes]
    ) -> dict[str, object]:
        return self._written(snapshot, principal, asked_in(headers))

    def _written(self, snapshot: Snapshot, principal: Principal | None, asked: Version | None) -> dict[str, object]:
        route = self.route
        names = published(route) if principal is None else names_for(snapshot, route, principal)
        card = card_of(route, names, tells_arguments=principal is not None)
        offer = Offer(
            url=route.resource,
            dialects=tuple(Dialect(version, binding) for version in self.serve for binding in ("JSONRPC", "HTTP+JSON")),
            scheme=scheme_of(snapshot, self.scopes),
            shape=offering.shape_for(card, self.serve, asked),
            has_extended=True,
            grpc=grpc_of(snapshot, route.path, self.serve),
            extensions=extensions_of(names),
        )
        return offering.write(card, offer)

    async def answer(self, arrived: Arrived) -> None:
        """Answer one operation; see `agent_door.Door`."""
        request = arrived.request
        if request.parts.tenant:
            raise other_tenant()
        if is_about_push(request):
            raise push_off()
        answering = Answering(arrived, self.route)
        if request.operation in MESSAGING:
            await Messaging(answering).answer()
        elif request.operation is Operation.EXTENDED_CARD:
            written = self._written(arrived.snapshot, arrived.principal, request.dialect.version)
            result = raw.write(signed(arrived.snapshot, written))
            status, body, headers = in_dialect(request, result)
            answering.record(len(body))
            await send_bytes(arrived.send, status, body, headers)
        else:
            await _Asking(answering).answer()


class _Asking:
    """One question after tasks of the caller's own."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._arrived = answering.arrived
        self._request: Inbound = answering.arrived.request

    async def answer(self) -> None:
        operation, answering, task_id = self._request.operation, self._answering, self._request.parts.task_id
        if operation is Operation.LIST_TASKS:
            await answering.whole(await self._listed())
            return
        if not await self._arrived.gateway.tasks.owns(answering.where, [task_id]):
            raise task_not_found()
        live = answering.live(task_id)
        if live is None and await answering.hand_over(task_id):
            return
        if live is not None and operation is Operation.SUBSCRIBE and not live.state.is_terminal:
            await answering.stream(live, ends_at_rest=False)
            return
        body = await self._body(task_id) if live is None else live.body()
        if operation is Operation.SUBSCRIBE:
            raise BadRequest("this task has ended", code="unsupported_operation", hint="ask for it with GetTask")
        if operation is Operation.CANCEL:
            body = await self._cancelled(live)
        await answering.whole(shown(body, _history(self._request)))

    async def _body(self, task_id: str) -> bytes:
        """Return a task that is worked on nowhere: as it ended, or lost with its worker."""
        answering = self._answering
        kept = (await self._arrived.gateway.tool_tasks.ended.find(answering.where, [task_id])).get(task_id)
        if kept is not None:
            return kept
        found, _ = await self._arrived.gateway.tasks.page(answering.where, Choice(id=task_id), None, 1)
        if not found or state_of(found[0].state).is_terminal:
            raise task_not_found()  # it ended long ago
        return _outline(found[0], State.FAILED, _LOST)

    async def _cancelled(self, live: ToolTask | None) -> bytes:
        if live is None or live.state.is_terminal:
            raise BadRequest("this task has ended", code="task_not_cancelable")
        tool_tasks = self._arrived.gateway.tool_tasks
        if live.state.is_interrupted or live.work is None:
            live.let_go()
            live.rest(State.CANCELED)
            await tool_tasks.note(live)
        else:
            live.work.cancel()
            await asyncio.wait({live.work})
        if live.state is not State.CANCELED:
            raise BadRequest("this task ended first", code="task_not_cancelable")
        return live.body()

    async def _listed(self) -> Raw:
        arrived, answering, request = self._arrived, self._answering, self._request
        gateway, where = arrived.gateway, answering.where
        size = page_size(request)
        cursors = Cursors(gateway, arrived.principal, f"tasks:{answering.route.name}")
        opened = cursors.opened(request.parsed)
        after = None if opened is None else (float(str(opened[0])), str(opened[1]))
        choice = replace(choice_of(request), since=gateway.services.clock() - KEEP_S)
        found, total = await gateway.tasks.page(where, choice, after, size)
        kept = await gateway.tool_tasks.ended.find(where, [task.id for task in found])
        tasks = [self._shown(task, kept.get(task.id)) for task in found]
        following = cursors.sealed((found[-1].updated_at, found[-1].id)) if len(found) == size else ""
        return raw.write({"tasks": tasks, "nextPageToken": following, "pageSize": size, "totalSize": total})

    def _shown(self, task: Task, kept: bytes | None) -> Raw:
        live = self._answering.live(task.id)
        body = kept or (live.body() if live is not None else self._outlined(task))
        with_artifacts = typed(self._request.parsed.get("includeArtifacts", False)) is True
        return shown(body, _history(self._request), with_artifacts=with_artifacts)

    def _outlined(self, task: Task) -> bytes:
        state, gateway = state_of(task.state), self._arrived.gateway
        node = gateway.tool_tasks.node_of(task.id)
        if state.is_terminal or gateway.siblings.knows(node, self._arrived.scope):
            return _outline(task, state)
        return _outline(task, State.FAILED, _LOST)


def _history(request: Inbound) -> int | None:
    """Return how many messages of a task's history are wanted, None for all; raises `BadRequest`."""
    length = typed(request.parsed.get("historyLength"))
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 0):
        raise invalid("`historyLength` must be a number, 0 or more")
    return length


def _outline(task: Task, state: State, said: object = None) -> bytes:
    """Return what is known of a task without what it came to."""
    when = datetime.fromtimestamp(task.updated_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    status: dict[str, object] = {"state": f"TASK_STATE_{state.replace('-', '_').upper()}", "timestamp": when}
    if said is not None:
        status["message"] = {"messageId": f"{task.id}-0", "role": "ROLE_AGENT", "parts": said}
    return bytes(raw.write({"id": task.id, "contextId": task.context, "status": status}))
