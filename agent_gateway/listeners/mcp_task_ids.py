"""Task ids: what a client follows a task by, sealed to it and to the endpoint it called at.

Inside is where the task is: the tool it came about by, the upstream and its own id. A
forged, foreign or expired id is answered like one that never was, and so is one of a
tool that its caller may not see any more.
"""

from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.ports import UpstreamAnswer
from agent_gateway.runtime.sessions import key_of
from agent_gateway.stores.task_store import Seen, Where, owner_of
from agent_gateway.upstreams.http_exchange import garbage
from agent_gateway.upstreams.mcp_http import HttpUpstream
from gateway_policies.call import Capability
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.entries import Entry
from mcp_registry.protocol import legacy_tasks, tasks
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError, http_status

MIN_LIFE_S: Final = 86400.0  # an upstream may lengthen a task's life; when it is over, it says so itself
MAX_LIFE_S: Final = 7 * 86400.0  # as long as the key that seals it is kept
MAX_DECLARED_BYTES: Final = 1024  # that an id carries: it travels in a header
_PURPOSE: Final = "mcp-task"


class Handle(msgspec.Struct, array_like=True, frozen=True):
    """Where a task is.

    tool      the name of its tool at the endpoint
    upstream  and what the task is called there
    node      the worker whose session at the upstream knows the task; empty: every one does
    declared  what the caller declared when the task was made, raw: it says which session at a legacy upstream
    """

    tool: str
    upstream: str
    native: str
    node: str = ""
    declared: bytes = b""


def seal(request: McpRequest, handle: Handle, ttl_ms: float | None) -> str:
    """Return the id that the caller of `request` gets for a task, good for as long as the upstream keeps it."""
    inbound = request.inbound
    life_s = MAX_LIFE_S if ttl_ms is None else min(MAX_LIFE_S, max(MIN_LIFE_S, ttl_ms / 1000))
    until = inbound.gateway.services.clock() + life_s
    return inbound.gateway.sealer.seal(_purpose(request), inbound.principal, _ENCODER.encode(handle), until)


def opened(request: McpRequest, text: object) -> tuple[Handle, Entry]:
    """Return where the task is that a caller names, and the tool it came about by.

    Raises `ProtocolError` (-32602), the same for every id that is not this caller's here.
    """
    inbound = request.inbound
    if not isinstance(text, str):
        raise ProtocolError(
            INVALID_PARAMS, f"`{tasks.TASK_ID}` must be a string", http_status=http_status(INVALID_PARAMS, request.era)
        )
    now = inbound.gateway.services.clock()
    try:
        payload = inbound.gateway.sealer.open(_purpose(request), inbound.principal, text, now)
    except Refusal:
        raise unknown_task(request) from None
    handle = _DECODER.decode(payload)
    entry = inbound.route.view.find(handle.tool)
    if entry is None or entry.capability.upstream != handle.upstream:
        raise unknown_task(request)
    if not inbound.snapshot.bundle.visible(inbound.principal, [entry.capability], route=inbound.route.name):
        raise unknown_task(request)
    return handle, entry


def as_created(request: McpRequest, capability: Capability, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return an answer to a call; a task in it under the id that its caller gets.

    Raises `UpstreamFailed` for a task that nobody could follow (`upstream_garbage`), and for one that the
    caller cannot know (`unsupported_result`).
    """
    if not request.client.has_extensions or answer.era == "legacy":
        return answer  # without extensions a task is a kind of result like any that the caller cannot know
    task = task_of(answer)
    if task is None or answer.result is None:
        return answer
    if not tasks.is_declared(request.client.capabilities):
        raise UpstreamFailed(
            "the upstream answers with a task, and the client follows none",
            hint="the tool needs a client that declares more",
            code="unsupported_result",
        )
    text = seal(request, _handle(request, capability, task), task.ttl_ms)
    own = tasks.renamed(tasks.with_id(answer.result, text), {task.id: text}.get)
    return replace(answer, result=own)


async def as_legacy_created(request: McpRequest, capability: Capability, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return the answer to a legacy call that asks for a task, likewise; the task is noted for its caller's list.

    An upstream of the extension may answer at once all the same: then that is the answer.
    """
    found = _legacy_task_of(answer)
    if found is None or answer.result is None:
        return answer
    result, raw, ttl_ms = found
    task = tasks.read_task(raw)
    text = seal(request, _handle(request, capability, task), ttl_ms)
    gateway = request.inbound.gateway
    await gateway.tasks.claim(own_list(request), [Seen(text)], ())
    gateway.sessions.note_task(key_of(request.session_id), text)
    own = legacy_tasks.created(result, tasks.with_id(raw, text))
    return replace(answer, era="legacy", result=tasks.renamed(own, {task.id: text}.get))


def _legacy_task_of(answer: UpstreamAnswer) -> tuple[Raw, Raw, float | None] | None:
    """Return the result, the legacy task in it and how long that lives; None for a result of another kind."""
    try:
        if answer.result is None:
            return None
        if answer.era == "legacy":
            raw = legacy_tasks.read_created(answer.result)
            return None if raw is None else (answer.result, raw, legacy_tasks.ttl_of(raw))
        task = tasks.read_created(answer.result)
        return None if task is None else (_EMPTY, legacy_tasks.to_legacy(answer.result), task.ttl_ms)
    except ValueError as error:
        raise garbage("the task it announces cannot be read") from error


def own_list(request: McpRequest) -> Where:
    """Return where the tasks are noted that the caller's list at this endpoint shows."""
    return Where(owner_of(request.inbound.principal), f"mcp:{request.inbound.route.name}")


def _handle(request: McpRequest, capability: Capability, task: tasks.Task) -> Handle:
    inbound = request.inbound
    upstream = inbound.snapshot.upstreams[capability.upstream]
    shown = inbound.route.view.shown_name(capability)
    if isinstance(upstream, HttpUpstream) and upstream.era == "modern":
        return Handle(shown, capability.upstream, task.id)
    declared = bytes(request.client.capabilities)
    kept = declared if request.era == "modern" and len(declared) <= MAX_DECLARED_BYTES else b""
    return Handle(shown, capability.upstream, task.id, inbound.gateway.node, kept)


def is_task(answer: UpstreamAnswer) -> bool:
    """Say whether an answer announces a task, one that can be read or not."""
    return answer.result is not None and tasks.is_created(answer.result)


def task_of(answer: UpstreamAnswer) -> tasks.Task | None:
    """Return the task that an answer announces, None for none; raises `UpstreamFailed` for one that cannot be read."""
    try:
        return None if answer.result is None else tasks.read_created(answer.result)
    except ValueError as error:
        raise garbage("the task it announces cannot be read") from error


def unknown_task(request: McpRequest) -> ProtocolError:
    """Return the one answer for an id that is not this caller's here, or of no task at all."""
    return ProtocolError(
        INVALID_PARAMS,
        "no such task here",
        http_status=http_status(INVALID_PARAMS, request.era),
        hint="it may be over for too long; call the tool again",
    )


def _purpose(request: McpRequest) -> str:
    return f"{_PURPOSE}:{request.inbound.route.name}"


_EMPTY: Final = Raw(b"{}")
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Handle)
