"""One plain `tools/call` without a task: callbacks from the request to the answer.

The phases are those of `pipeline.run`, in its order and with its records; only the
way from one to the next differs. Whatever is not plain on the way (no lease at hand, an
event stream, a caller to be kept from falling asleep) goes on in a task with the code of
the long way.

INVARIANT: `_over` is set once, and from then on nothing is written, sent or recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from agent_gateway import errors
from agent_gateway.audit import records
from agent_gateway.listeners.body import Receive, Send
from agent_gateway.listeners.fast_head import Head
from agent_gateway.listeners.fast_lane import MAX_LANES, Lane, open_lane, request_of
from agent_gateway.listeners.fast_line import EVENT, Line, never_receive, never_send
from agent_gateway.listeners.fast_message import METHOD, PlainCall, plain_result, read_plain_call
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_error import Headers, render, status_of
from agent_gateway.listeners.mcp_task_ids import is_task
from agent_gateway.listeners.mcp_tools import Sent, body_of
from agent_gateway.listeners.reply import Reply
from agent_gateway.pipeline.authorize import authorize
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.fault import fault
from agent_gateway.pipeline.guard import guard
from agent_gateway.pipeline.hold import hold, hold_now
from agent_gateway.pipeline.record import append_decision, append_refusal
from agent_gateway.pipeline.run import answered, carry, failed
from agent_gateway.pipeline.settle import settle
from agent_gateway.ports import UpstreamAnswer
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.upstreams.direct import Sending
from agent_gateway.upstreams.h1_response import H1Response
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.refusal import Refusal, Unavailable, UpstreamFailed
from mcp_registry.protocol import envelope

_ASKS: Final = b"input_required"  # an answer without it asks nothing of the caller
MAX_BODY_BYTES: Final = 64 * 1024  # of a request, and of an answer before it goes on in a task


class FastCall(Sending):
    """From the head of a request to the end of its answer; stands in for uvicorn's cycle until it needs one."""

    more_body = True
    message_event = EVENT
    response_complete = False
    disconnected = False
    is_counted = False
    connection = None
    posting = None
    last_write = 0.0
    _over = False
    _exchange: Exchange | None = None
    _response: H1Response | None = None
    _reply: tuple[Reply, Inbound] | None = None
    _call_task: asyncio.Task[None] | None = None

    def __init__(
        self, line: Line, gateway: Gateway, head: Head, headers: list[tuple[bytes, bytes]], *, keep_alive: bool
    ) -> None:
        self.head = head
        self.headers = headers
        self.body = b""
        self.keep_alive = keep_alive
        self._line = line
        self._gateway = gateway

    # --- phases 3 to 7 ---------------------------------------------------------------------

    def begin(self, varying: dict[bytes, bytes]) -> bool:
        """Start the call whose body is whole; False, and nothing done, when it must go the long way."""
        head, gateway = self.head, self._gateway
        limits = head.snapshot.config.limits
        lane, message = head.lane, None
        if lane is not None and lane.shape is not None:
            message = lane.shape.read(self.body, limits.json_depth)
        if message is None:
            message = read_plain_call(self.body, limits.json_depth)
            if message is None:
                return False
            lane = head.lane = head.lanes.get(message.kind) or self._open_lane(message)
        if lane is None or varying.get(b"mcp-name") != lane.name_header or not lane.is_warm:
            return False
        if not gateway.active.enter_plain(head.caller, limits.concurrency_per_principal, self):
            return False
        self.is_counted = True
        self.last_write = self._line.loop.time()
        self._message, self._lane = message, lane
        traceparent = varying.get(b"traceparent", b"").decode("latin-1")
        try:
            self._describe({"traceparent": traceparent} if traceparent else {})
        except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
            self._fault()
        return True

    def _open_lane(self, message: PlainCall) -> Lane | None:
        head = self.head
        assert head.principal is not None
        assert head.route is not None
        request = request_of(self._inbound(never_receive, never_send))
        if request is None:
            return None
        exchange = self._gateway.exchange(head.principal, head.route.name, {})
        if (lane := open_lane(request, exchange)) is not None:
            if len(head.lanes) >= MAX_LANES:
                head.lanes.clear()
            head.lanes[message.kind] = lane
        return lane

    def _describe(self, trace: dict[str, str]) -> None:
        head, lane, message, gateway = self.head, self._lane, self._message, self._gateway
        assert head.principal is not None
        assert head.route is not None
        name = head.route.name
        exchange = self._exchange = gateway.exchange(head.principal, name, trace)
        exchange.arguments = self.arguments = message.arguments_raw
        exchange.asked = lane.asked
        exchange.call = call = Call(
            exchange.id, head.principal, "call", lane.capability, message.arguments, exchange.started_at, name, METHOD
        )
        try:
            self._permit = authorize(head.snapshot, exchange, call)
            if hold_now(gateway.services, head.snapshot, exchange, self._permit):
                self._record()
            else:
                self._go_on(self._hold)
        except Refusal as refusal:
            self._refuse(refusal)

    async def _hold(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            await hold(self._gateway.services, self.head.snapshot, exchange, self._permit)
            self._record()
        except Refusal as refusal:
            self._refuse(refusal)

    def _record(self) -> None:
        services, exchange, snapshot = self._gateway.services, self._exchange, self.head.snapshot
        assert exchange is not None
        assert exchange.decision is not None
        guard(snapshot, self._permit)
        charges = exchange.hold.charges if exchange.hold is not None else ()
        exchange.lines = self._lane.lines_for(self._permit.call, exchange.decision, charges, snapshot.id)
        services.recorder.when_durable(append_decision(services, snapshot, exchange), self._recorded)

    def _refuse(self, refusal: Refusal) -> None:
        """End a call before it is forwarded."""
        services, exchange = self._gateway.services, self._exchange
        assert exchange is not None
        self._refusal = refusal
        index = append_refusal(services, self.head.snapshot, exchange, refusal)
        if index is None:
            self._show_refusal(refusal)
        else:
            services.recorder.when_durable(index, self._refusal_recorded)

    def _refusal_recorded(self, failure: Unavailable | None) -> None:
        if failure is not None:
            self._gateway.services.metrics.count_refusal("unrecorded")
        self._show_refusal(self._refusal)

    # --- phases 8 to 10 --------------------------------------------------------------------

    def _recorded(self, failure: Unavailable | None) -> None:
        if self._over:
            return
        try:
            if failure is not None:
                self._refuse(failure)
            else:
                self._forward()
        except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
            self._fault()

    def _forward(self) -> None:
        exchange, lane = self._exchange, self._lane
        assert exchange is not None
        exchange.was_sent = True
        self.traceparent = exchange.trace.traceparent.encode()
        try:
            lane.direct.send(lane.form, self, timeout_s=lane.timeout_s)
        except UpstreamFailed as failure:
            self._fail(failure)

    def done(self) -> bool:
        return self._over

    def set_result(self, response: H1Response | None, /) -> None:
        """Take the head of the upstream's response; None: more of its body is there."""
        try:
            if response is not None:
                self._response = response
                if response.headers is not self._lane.plain_headers and not self._lane.is_plain(response):
                    return self._go_on_hearing(response)
                if not response.is_complete:
                    return response.watch(self)
            return self._hear_body()
        except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
            self._fault()

    def set_exception(self, failure: UpstreamFailed, /) -> None:
        try:
            self._fail(self._lane.direct.failed(failure, self._lane.timeout_s))
        except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
            self._fault()

    def _hear_body(self) -> None:
        response = self._response
        assert response is not None
        try:
            body = response.whole()
        except UpstreamFailed as failure:
            self._fail(self._lane.direct.failed(failure, self._lane.timeout_s))
            return
        if body is not None:
            self._answered(body)
        elif response.buffered > MAX_BODY_BYTES:
            response.watch(None)
            self._go_on_hearing(response)

    def _answered(self, body: bytes) -> None:
        exchange, lane = self._exchange, self._lane
        assert exchange is not None
        if (result := plain_result(body, self.id)) is not None:
            lane.direct.heard()
            exchange.bytes_out, exchange.status = len(body), "ok"
            settle(self._gateway.services, exchange)
            self._answer(200, lane.text_of(self._message.id, result), ())
            return
        try:
            answer = lane.direct.answer(body, self.id)
            if _ASKS in body or (lane.reader.takes_any and is_task(answer)):
                self._go_on(self._carry(partial(_hand_on, answer)))
                return
            text = body_of(answer, exchange, self._message.id, lane.reader)
            answered(exchange, answer)
        except Refusal as refusal:
            self._fail(refusal)
            return
        settle(self._gateway.services, exchange)
        self._answer(status_of(self._message.id, text, lane.reader.era), text, ())

    def _fail(self, refusal: Refusal) -> None:
        """End a forwarded call without an answer."""
        exchange = self._exchange
        assert exchange is not None
        failed(exchange, refusal)
        settle(self._gateway.services, exchange)
        self._show_refusal(refusal)

    def _go_on_hearing(self, response: H1Response) -> None:
        """Hear the rest of a response in a task: it is an event stream, long, or no success."""
        assert self.connection is not None
        self.connection.unhurried()

        async def hear(sent: Sent, permit: Permit) -> UpstreamAnswer:
            asked = sent.outgoing(permit.call)
            return sent.hand_on(permit, await self._lane.upstream.go_on((response, self.id), asked, sent.sink))

        self._go_on(self._carry(hear))

    def _carry(self, forward: Callable[[Sent, Permit], Awaitable[UpstreamAnswer]]) -> Callable[[], Awaitable[None]]:
        async def go() -> None:
            exchange = self._exchange
            assert exchange is not None
            reply, inbound = self._opened()
            request = request_of(inbound)
            assert request is not None
            entry = inbound.route.view.find(self._message.kind[0])
            assert entry is not None
            sent = Sent(request, entry, exchange, CallSink(request, reply))
            try:
                await carry(self._gateway.services, exchange, self._permit, lambda permit: forward(sent, permit))
            except Refusal as refusal:
                self._show_refusal(refusal)
            else:
                self._answer(status_of(self._message.id, sent.body, "modern"), sent.body, ())

        return go

    # --- the caller's side -----------------------------------------------------------------

    def lost(self) -> None:
        """The caller has left: a modern call is cancelled by that."""
        if self._over:
            return
        self._end()
        if self._call_task is not None:
            self._call_task.cancel()
        if self._exchange is not None and not self._exchange.is_settled:
            self._exchange.status, self._exchange.code = "cancelled", "cancelled"
            settle(self._gateway.services, self._exchange)
        if self._response is not None:
            self._response.close()  # one that is whole has given its connection to another call
        elif self.connection is not None:
            self.connection.abort()
        elif self.posting is not None:
            self.posting.withdraw()

    async def sign_of_life(self, now: float) -> None:
        """Say something, so that nobody between us and the caller gives up."""
        self.last_write = now
        if self.head.can_stream and not self._over:
            await self._opened()[0].keep_alive(now)

    def _opened(self) -> tuple[Reply, Inbound]:
        """Return the answer as the long way gives it, which may become an event stream; opened once."""
        if self._reply is None:
            receive, send = self._line.open_reply(self)
            inbound = self._inbound(receive, send)
            self._reply = (self._gateway.reply(send, inbound.headers), inbound)
        return self._reply

    def _inbound(self, receive: Receive, send: Send) -> Inbound:
        head = self.head
        assert head.principal is not None
        assert head.route is not None
        headers = check_head(self.headers, head.snapshot.head_rules)
        return Inbound(
            self._gateway, head.snapshot, head.route, head.principal, headers, receive, send, self._line.peer, self.body
        )

    def _show_refusal(self, refusal: Refusal) -> None:
        exchange = self._exchange
        assert exchange is not None
        if self._over:
            return
        self._gateway.services.metrics.count_refusal(refusal.code)
        self._answer(*render(self._message.id, refusal, "modern", exchange.id))

    def _answer(self, status: int, body: bytes, headers: Headers) -> None:
        if self._over:
            return
        self._end()
        if self._reply is None:
            self._line.answer(self, status, body, headers)
        else:
            self._start(self._reply[0].finish(body, status, headers))

    def _end(self) -> None:
        self._over = True
        if self.is_counted:
            self._gateway.active.left_plain(self.head.caller, self)

    def _fault(self) -> None:
        """A fault of our own: close the books, tell the operator, answer."""
        refusal = fault()
        exchange, gateway = self._exchange, self._gateway
        if exchange is not None and exchange.call is not None:
            if not exchange.was_sent and not exchange.is_settled:
                return self._refuse(refusal)
            settle(gateway.services, exchange)  # as lost, unless it is known better
            return self._show_refusal(refusal)
        if self._over:
            return None
        form = errors.wire_form(refusal)
        route, principal = self.head.route, self.head.principal
        origin = records.Origin(route.name if route else "", self._line.peer)
        gateway.record_refusal(refusal.code, form.http_status, origin, principal)
        body = envelope.error(None, form.jsonrpc_code, refusal.message, errors.public_data(refusal, ""))
        return self._answer(form.http_status, body, ())

    # --- tasks, where they are needed --------------------------------------------------------

    def _go_on(self, work: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except Exception:  # noqa: BLE001 - the listener's edge: one of the three walls
                self._fault()

        self._call_task = task = self._start(guarded())
        task.add_done_callback(self._task_done)

    def _task_done(self, _: "asyncio.Task[None]") -> None:
        self._call_task = None

    def _start(self, work: "Awaitable[None]") -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._line.tasks.add(task)
        task.add_done_callback(self._line.tasks.discard)
        return task


async def _hand_on(answer: UpstreamAnswer, sent: Sent, permit: Permit) -> UpstreamAnswer:
    return sent.hand_on(permit, answer)
