"""The way back of one answer: read for the tasks it tells of, put into the caller's dialect, passed on.

In the caller's own dialect the agent's bytes pass as they are. Each task is known as the
caller's before the caller hears of it; what is somebody else's is not passed on at all.
"""

from collections.abc import Awaitable

from msgspec import Raw

from a2a_gateway import results, streams
from a2a_gateway.answers import Told, tell
from a2a_gateway.inbound import JSON_TYPES
from a2a_gateway.operations import STREAMED
from a2a_gateway.results import Passage
from a2a_gateway.streams import Frame, Frames
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_refusals import Answer, foreign_answer, is_telling
from agent_gateway.listeners.agent_reply import STREAM_HEADERS, AgentReply
from agent_gateway.listeners.body import ClientGone
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import HttpResponse, UpstreamAnswer
from agent_gateway.snapshot import Target
from agent_gateway.stores.push_store import Hook
from agent_gateway.stores.task_store import Seen
from gateway_policies.refusal import UpstreamFailed

_PASSED_BACK = (b"a2a-extensions", b"x-a2a-extensions", b"retry-after")
_DONE = UpstreamAnswer(era="modern", result=Raw(b"{}"))


class Passing:
    """One answer on its way back to the caller."""

    def __init__(self, inbound: AgentInbound, exchange: Exchange, reply: AgentReply) -> None:
        self._inbound = inbound
        self._exchange = exchange
        self._reply = reply
        self._answer: Answer = (500, b"", [])
        self._passage: Passage | None = None  # None: the bytes pass as they are
        self.hook: Hook | None = None  # a webhook that waits to hear which task it is for

    async def begin(self, response: HttpResponse, target: Target) -> bool:
        """Take a whole answer, or say that a stream begins."""
        request = self._inbound.request
        if target.dialect != request.dialect:
            self._passage = Passage(request.operation, target.dialect, request.dialect, request.id_raw)
        if _kind(response) == "text/event-stream" and 200 <= response.status < 300:
            if request.operation not in STREAMED:
                response.close()
                raise foreign_answer("it is a stream, and nobody asked for one", response.status)
            return True
        await self._take(response)
        return False

    async def asked(self, coming: Awaitable[HttpResponse]) -> tuple[int, bytes]:
        """Return status and body of an answer that another one is made from."""
        response = await coming
        return response.status, await self._read(response)

    def made(self, answer: Answer) -> None:
        """Take an answer that the gateway made."""
        self._exchange.bytes_out = len(answer[1])
        self._answer = answer

    async def _read(self, response: HttpResponse) -> bytes:
        limit = self._inbound.agent.config.result_bytes or self._inbound.snapshot.config.limits.result_bytes
        body = await response.read(limit)
        self._exchange.bytes_out = len(body)
        if body and _kind(response) not in JSON_TYPES:
            raise foreign_answer("it is neither JSON nor an event stream", response.status)
        return body

    async def _take(self, response: HttpResponse) -> None:
        agent = self._inbound.agent
        body = await self._read(response)
        told = tell(body)
        is_error = response.status >= 400 or told.error_code is not None
        if is_error and is_telling(body, agent.config):
            raise foreign_answer("its error names places that are not shown", response.status)
        if is_error:
            self._exchange.status = "tool_error"
        else:
            await self._claim(told)
        await self.forget_hook()
        passed = [(name, response.headers[name]) for name in _PASSED_BACK if name in response.headers]
        if self._passage is None:
            kind = response.headers.get(b"content-type", b"application/json")
            self._answer = (response.status, body, [(b"content-type", kind), *passed])
            return
        answer = results.whole(self._passage, response.status, body)
        self._answer = (answer.http_status, answer.body, [(b"content-type", answer.content_type.encode()), *passed])

    async def forget_hook(self) -> None:
        """Forget a webhook that no task came of."""
        if self.hook is not None:
            hook, self.hook = self.hook, None
            await self._inbound.gateway.push.forget(hook)

    async def stream(self, response: HttpResponse) -> UpstreamAnswer:
        """Pass the events on as they come."""
        passed = [(name, response.headers[name]) for name in _PASSED_BACK if name in response.headers]
        frames = Frames()
        try:
            await self._reply.start([*STREAM_HEADERS, *passed])
            async for chunk in response.chunks():
                for frame in frames.feed(chunk):
                    await self._pass(frame)
            rest = frames.end()
            if rest is not None and self._passage is None:
                await self._reply.write(rest.raw)
        except ClientGone:
            self._exchange.status, self._exchange.code = "cancelled", "cancelled"
        finally:
            self._exchange.bytes_out = self._reply.bytes_out
            response.close()
        return _DONE

    async def _pass(self, frame: Frame) -> None:
        if frame.data is None:
            if self._passage is not None and not frame.is_ended:
                raise UpstreamFailed("an event of the agent is too large to translate", code="upstream_too_large")
            await self._reply.write(frame.raw, is_between=frame.is_ended)
            return
        told = tell(frame.data)
        if (frame.kind == "error" or told.error_code is not None) and is_telling(frame.raw, self._inbound.agent.config):
            raise foreign_answer("its error names places that are not shown", 200)
        await self._claim(told)
        if self._passage is None:
            await self._reply.write(frame.raw)
            return
        data, kind = results.event(self._passage, frame.data)
        await self._reply.write(streams.event(data, kind))

    async def _claim(self, told: Told) -> None:
        """Note whose the tasks and contexts of an answer are; refuse one that tells of somebody else's."""
        tasks = [Seen(one.task_id, one.context_id, one.state or "") for one in told.seen if one.task_id]
        contexts = [one.context_id for one in told.seen if one.context_id and not one.task_id]
        if not tasks and not contexts:
            return
        if not await self._inbound.gateway.tasks.claim(self._inbound.where, tasks, contexts):
            raise foreign_answer("it tells of a task of somebody else", 200)
        if self.hook is not None and tasks:
            hook, self.hook = self.hook, None
            await self._inbound.gateway.push.bind(hook, tasks[0].id)

    def done(self) -> UpstreamAnswer:
        """Return what the pipeline is told of an answer that was taken whole."""
        return _DONE

    async def finish(self) -> None:
        """End the reply, once the call is settled."""
        if self._reply.is_streaming:
            await self._reply.end()
        else:
            await self._reply.whole(*self._answer)


def _kind(response: HttpResponse) -> str:
    return response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
