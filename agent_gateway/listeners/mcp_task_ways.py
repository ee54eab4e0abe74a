"""How a call that may become a task is sent on, by what its caller follows and what its tool says.

    caller                        upstream    the tool            the call
    modern                        modern      any                 goes as it is: the upstream decides
    modern, follows tasks         legacy      must be a task      is begun there, and followed as the extension's
    modern, follows none          legacy      must be a task      is driven here: its caller gets an ordinary answer
    legacy, asks for a task       legacy      may be a task       goes as it is
    legacy, asks for a task       modern      may be a task       declares the extension, for its caller does
    legacy, asks for none         legacy      must be a task      is driven here

Every other call is a plain one. What is sent differs here; whose the task is, is `mcp_task_ids`' to seal.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, cast

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_rounds import Asked
from agent_gateway.ports import McpUpstream, Progressed, ServerInfo, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams.asking import NOBODY
from agent_gateway.upstreams.chores import Chores
from agent_gateway.upstreams.http_exchange import garbage
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from mcp_registry.entries import Entry
from mcp_registry.protocol import envelope, legacy_tasks, progress, tasks
from mcp_registry.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, ProtocolError
from mcp_registry.protocol.legacy_tasks import ASKED, RESULT
from mcp_registry.protocol.versions import Era

Way = Literal["plain", "as_it_is", "begin", "declare", "drive"]
MIN_POLL_S: Final = 0.05
MAX_POLL_S: Final = 5.0


def way_of(request: McpRequest, entry: Entry) -> Way:
    """Return how a described call is sent; raises `ProtocolError` for a task that may not be asked for."""
    is_asked = request.era == "legacy" and ASKED in request.message.parsed
    support = entry.definition.task_support
    if support == "forbidden" and not is_asked:
        return "plain"
    info = request.inbound.snapshot.infos.get(entry.capability.upstream)
    if is_asked and not isinstance(request.message.parsed[ASKED], dict):
        raise ProtocolError(INVALID_PARAMS, f"`{ASKED}` must be an object", http_status=200)
    if info is None or not _runs_tasks(info):
        return "plain"  # who does not know tasks passes over what is said of them
    if is_asked and support == "forbidden":
        raise ProtocolError(METHOD_NOT_FOUND, "this tool does not run as a task", http_status=200)
    if request.era == "legacy":
        if is_asked:
            return "as_it_is" if info.era == "legacy" else "declare"
        return "drive" if support == "required" and info.era == "legacy" else "plain"
    if info.era == "modern" or support != "required":
        return "plain"
    return "begin" if tasks.is_declared(request.client.capabilities) else "drive"


def _runs_tasks(info: ServerInfo) -> bool:
    if info.era == "legacy":
        return legacy_tasks.is_offered(info.capabilities)
    return info.capabilities is not None and tasks.is_declared(info.capabilities)


class Beginning:
    """An upstream whose calls are begun as legacy tasks, and answered with tasks of the extension."""

    def __init__(self, upstream: McpUpstream) -> None:
        self._upstream = upstream

    @property
    def era(self) -> Era | None:
        return self._upstream.era

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send a call; see `ports.McpUpstream`."""
        answer = await self._upstream.request(as_task(request), sink)
        task = created_of(answer)
        if task is None:
            return answer
        return replace(answer, era="modern", result=legacy_tasks.to_modern(task, {"resultType": b'"task"'}))


class Declared:
    """An upstream that is told that the caller follows tasks: it asked for one in the words of its own era."""

    def __init__(self, upstream: McpUpstream) -> None:
        self._upstream = upstream

    @property
    def era(self) -> Era | None:
        return self._upstream.era

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send a call; see `ports.McpUpstream`."""
        return await self._upstream.request(declaring(request), sink)


class Driven:
    """An upstream whose calls are begun as legacy tasks and seen through, within the time of the call.

    chores  where a task is cancelled that nobody waits for any more
    """

    def __init__(self, upstream: McpUpstream, chores: Chores) -> None:
        self._upstream = upstream
        self._chores = chores

    @property
    def era(self) -> Era | None:
        return self._upstream.era

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send a call and return what comes of its task; see `ports.McpUpstream`."""
        until = asyncio.get_running_loop().time() + request.timeout_s
        answer = await self._upstream.request(as_task(request), sink)
        task = created_of(answer)
        if task is None:
            return answer
        native = tasks.read_task(task).id
        left_s = until - asyncio.get_running_loop().time()
        asked = about(request, RESULT, native)
        teller = asyncio.ensure_future(self._tell(about(request, tasks.GET, native), sink))
        teller.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            if left_s <= 0:
                raise UpstreamTimeout("the upstream's task did not begin in time")
            found = await self._upstream.request(
                replace(asked, timeout_s=left_s), Renaming(sink, legacy_tasks.unrelated)
            )
        except (asyncio.CancelledError, UpstreamFailed):
            farewell = replace(about(request, tasks.CANCEL, native), is_idempotent=False)
            self._chores.start(self._upstream.request(farewell, NOBODY))
            raise
        finally:
            teller.cancel()
        return found if found.result is None else replace(found, result=legacy_tasks.unrelated(found.result))

    async def _tell(self, asked: UpstreamRequest, sink: Sink) -> None:
        """Say as progress what the task says of itself, as long as somebody wants to hear it."""
        said, number = None, 0
        while asked.wants_progress:
            try:
                answer = await self._upstream.request(replace(asked, wants_progress=False), NOBODY)
                status = _STATUS.decode(answer.result or b"{}")
            except (UpstreamFailed, msgspec.DecodeError):
                return
            if status.message is not None and status.message != said:
                said, number = status.message, number + 1
                params = {"progress": number, "message": said, "progressToken": ""}
                await sink.notify(progress.PROGRESS, Raw(envelope.write(params)))
            await asyncio.sleep(poll_s(status.poll_ms))


class Renaming:
    """A sink that renames the task in what passes through it; `rename` gets the raw params."""

    def __init__(self, sink: Sink, rename: Callable[[Raw], Raw]) -> None:
        self._sink = sink
        self._rename = rename

    async def notify(self, method: str, params: Raw | None) -> None:
        await self._sink.notify(method, None if params is None else self._rename(params))

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        return await self._sink.ask(method, None if params is None else self._rename(params), progressed)


def by_way(way: Way, upstream: McpUpstream, chores: Chores) -> Asked:
    """Return the upstream as a call sent this way meets it."""
    if way == "begin":
        return Beginning(upstream)
    if way == "declare":
        return Declared(upstream)
    return Driven(upstream, chores) if way == "drive" else upstream


def as_task(request: UpstreamRequest) -> UpstreamRequest:
    """Return a call that asks for a legacy task."""
    return replace(request, params=envelope.edit(request.params, {ASKED: b"{}"}))


def declaring(request: UpstreamRequest) -> UpstreamRequest:
    """Return a request whose caller says that it follows tasks."""
    members = envelope.read_object(request.client_capabilities or b"{}")
    known = envelope.read_object(members.get("extensions", Raw(b"{}")))
    extensions = envelope.write(envelope.edit(known, {tasks.EXTENSION: b"{}"}))
    told = envelope.edit(members, {"extensions": extensions})
    return replace(request, client_capabilities=Raw(envelope.write(told)))


def about(request: UpstreamRequest, method: str, native: str) -> UpstreamRequest:
    """Return a request about the task that came of `request`."""
    return replace(
        request,
        method=method,
        params={tasks.TASK_ID: Raw(envelope.write(native))},
        name_header=native,
        input_schema=None,
        is_idempotent=True,
    )


def created_of(answer: UpstreamAnswer) -> Raw | None:
    """Return the legacy task that an answer announces, None for none; raises `UpstreamFailed` for an unreadable one."""
    if answer.result is None or answer.era != "legacy":
        return None
    try:
        return legacy_tasks.read_created(answer.result)
    except ValueError as error:
        raise garbage("the task it announces cannot be read") from error


def poll_s(interval_ms: object) -> float:
    """Return how long to wait before asking again, by what the upstream wishes."""
    wish = cast("float", interval_ms) if isinstance(interval_ms, int | float) else 1000.0
    return min(MAX_POLL_S, max(MIN_POLL_S, wish / 1000))


class _Status(msgspec.Struct):
    message: str | None = msgspec.field(name="statusMessage", default=None)
    poll_ms: int | float | None = msgspec.field(name="pollInterval", default=None)


_STATUS: Final = msgspec.json.Decoder(_Status)
