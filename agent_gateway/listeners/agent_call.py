"""A governed operation of an agent: described, run through the pipeline, sent on, its answer passed back.

Describing and sending are all that is A2A's own here; what happens in between is
`agent_gateway.pipeline.run`, the same for every kind of traffic.
"""

import asyncio
from dataclasses import replace

from msgspec import Raw

from a2a_gateway import errors, raw, skills
from a2a_gateway.inbound import Inbound as A2aRequest
from a2a_gateway.operations import MESSAGING, STREAMED, RestRoute, request_line
from agent_gateway.listeners.agent_answer import Frames, contexts_in, tasks_in
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_refusals import (
    check_chain,
    foreign_answer,
    is_telling,
    no_agent,
    render,
    task_not_found,
)
from agent_gateway.listeners.agent_reply import STREAM_HEADERS, AgentReply
from agent_gateway.listeners.body import ClientGone, ClientWatch
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.run import run
from agent_gateway.ports import HttpRequest, HttpResponse, UpstreamAnswer
from agent_gateway.runtime.agents import unusable
from agent_gateway.snapshot import Target
from agent_gateway.upstreams.speak import deadline
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.refusal import Refusal, UpstreamFailed

_JSON = (b"content-type", b"application/json")
_PASSED_ON = (b"a2a-extensions", b"x-a2a-extensions")  # of a request
_PASSED_BACK = (b"content-type", b"a2a-extensions", b"x-a2a-extensions", b"retry-after")  # of an answer
_NOTHING = Raw(b"{}")


async def call_agent(inbound: AgentInbound) -> None:
    """Answer one operation. A refusal of the described call is answered here."""
    gateway, request = inbound.gateway, inbound.request
    now = asyncio.get_running_loop().time()
    reply = AgentReply(inbound.send, now=now, write_timeout_s=gateway.write_timeout_s)
    is_streamed = request.operation in STREAMED
    with gateway.running(inbound.principal, None, reply) as in_charge:
        exchange = gateway.exchange(inbound.principal, inbound.route.name, inbound.trace_context())
        sent = Sent(inbound, exchange, reply)
        # Whoever leaves a stream closes it at the agent too; a task goes on, and so does a message that waits for it.
        watch = ClientWatch(inbound.receive, in_charge.cancel) if is_streamed else None
        try:
            await run(gateway.services, inbound.snapshot, exchange, described(inbound, exchange), sent.forward)
        except Refusal as refusal:
            gateway.services.metrics.count_refusal(refusal.code)
            await _refuse(inbound, reply, exchange, refusal)
            return
        except asyncio.CancelledError:
            if not in_charge.was_cancelled:
                raise
            in_charge.forgive()
            return
        finally:
            in_charge.is_done = True
            if watch is not None:
                watch.stop()
    if reply.is_streaming:
        await reply.end()
    else:
        await reply.whole(*sent.answer)


def described(inbound: AgentInbound, exchange: Exchange) -> Call:
    """Return the request as policies, budgets and records see it: the same for every binding and version."""
    request = inbound.request
    exchange.arguments = request.body or b"{}"
    exchange.asked = inbound.agent.name
    exchange.is_free = request.operation not in MESSAGING  # asking after a task costs nothing; rates hold all the same
    principal = inbound.principal if inbound.principal.txn else replace(inbound.principal, txn=exchange.id)
    arguments = request.parts.arguments()
    if inbound.skill:
        arguments["skill"] = inbound.skill
    return Call(
        exchange.id,
        principal,
        "message",
        inbound.capability,
        arguments,
        exchange.started_at,
        inbound.route.name,
        request.operation.value,
    )


async def _refuse(inbound: AgentInbound, reply: AgentReply, exchange: Exchange, refusal: Refusal) -> None:
    request = inbound.request
    if refusal.code == "not_found":
        refusal = no_agent()
    if reply.is_streaming:
        await reply.write(errors.event(refusal, request.dialect, request.id_raw, exchange.id))
        await reply.end()
        return
    await reply.whole(*render(refusal, request.dialect, request.id_raw, exchange.id))


class Sent:
    """One call on its way to the agent, and what came of it as the caller will read it."""

    def __init__(self, inbound: AgentInbound, exchange: Exchange, reply: AgentReply) -> None:
        self._inbound = inbound
        self._exchange = exchange
        self._reply = reply
        self.answer: tuple[int, bytes, list[tuple[bytes, bytes]]] = (500, b"", [])

    async def forward(self, permit: Permit) -> UpstreamAnswer:
        """Send the call on and pass its answer back: a stream as it comes, anything else once it is whole."""
        inbound, exchange = self._inbound, self._exchange
        exchange.was_sent = False  # until something leaves, it costs nothing
        principal = permit.call.principal
        check_chain(inbound.agent, principal, inbound.snapshot.config.token_service.max_chain)
        await self._check_ids()
        target = inbound.agent.target
        if target is None:
            raise unusable(inbound.agent)
        outgoing = request_to(inbound, target, exchange)
        limit_s = min(inbound.agent.config.timeout_s, inbound.snapshot.config.limits.call_timeout_s)
        exchange.was_sent = True
        try:
            with deadline(limit_s):
                response = await inbound.agent.upstream.send(outgoing, principal, timeout_s=limit_s)
                if not _is_stream(response):
                    await self._take_whole(response)
                    return _DONE
            await self._stream(response)
        except UpstreamFailed as failure:
            if exchange.status == "open":
                inbound.agent.upstream.broke(failure)
            raise
        return _DONE

    async def _check_ids(self) -> None:
        """Refuse ids that are not the caller's, in the words of ids that never were."""
        parts, agent = self._inbound.request.parts, self._inbound.agent
        tasks = [one for one in (parts.task_id, *parts.reference_task_ids) if one]
        contexts = [parts.context_id] if parts.context_id else []
        where, store = self._inbound.where, self._inbound.gateway.tasks
        if contexts and agent.config.client_contexts == "accept" and not tasks:
            if not await store.claim(where, [], contexts):
                raise task_not_found()
            return
        if (tasks or contexts) and not await store.owns(where, tasks, contexts):
            raise task_not_found()

    # --- answers -----------------------------------------------------------------------------

    async def _take_whole(self, response: HttpResponse) -> None:
        agent = self._inbound.agent
        limit = agent.config.result_bytes or self._inbound.snapshot.config.limits.result_bytes
        body = await response.read(limit)
        self._exchange.bytes_out = len(body)
        kind = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        is_error = response.status >= 400
        if kind not in (b"application/json", b"application/a2a+json") and body:
            raise foreign_answer("it is neither JSON nor an event stream", response.status)
        if is_telling(body, agent.config, is_error=is_error):
            raise foreign_answer("its error names places that are not shown", response.status)
        if not is_error:
            await self._claim(body)
        if is_error or b'"error"' in body[:4096] and errors_in(body):
            self._exchange.status = "tool_error"
        self.answer = (response.status, body, _headers_of(response))

    async def _stream(self, response: HttpResponse) -> None:
        """Pass the events on as they come, each task known as the caller's before the caller hears of it."""
        try:
            await self._reply.start(_stream_headers(response))
            frames = Frames()
            async for chunk in response.chunks():
                for frame, data in frames.feed(chunk):
                    if data is not None:
                        await self._claim(data)
                    await self._reply.write(frame, is_between=frames.is_between)
            rest = frames.end()
            if rest:
                await self._reply.write(rest)
        except ClientGone:
            self._exchange.status, self._exchange.code = "cancelled", "cancelled"
        finally:
            self._exchange.bytes_out = self._reply.bytes_out
            response.close()

    async def _claim(self, body: bytes) -> None:
        seen, contexts = tasks_in(body), contexts_in(body)
        if not seen and not contexts:
            return
        if not await self._inbound.gateway.tasks.claim(self._inbound.where, seen, contexts):
            raise foreign_answer("it tells of a task of somebody else", 200)


_DONE = UpstreamAnswer(era="modern", result=_NOTHING)


def _is_stream(response: HttpResponse) -> bool:
    kind = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return kind == b"text/event-stream" and 200 <= response.status < 300


def _headers_of(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [(name, response.headers[name]) for name in _PASSED_BACK if name in response.headers]


def _stream_headers(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    passed = [(name, value) for name, value in _headers_of(response) if name != b"content-type"]
    return [*STREAM_HEADERS, *passed]


def errors_in(body: bytes) -> bool:
    """Say whether a JSON body is a JSON-RPC error."""
    try:
        return "error" in raw.members(body)
    except ValueError:
        return False


# --- what is sent ------------------------------------------------------------------------------


def request_to(inbound: AgentInbound, target: Target, exchange: Exchange) -> HttpRequest:
    """Return the request to the agent: the caller's own bytes wherever nothing had to be changed."""
    request = inbound.request
    headers: list[tuple[bytes, bytes]] = [_JSON, (b"accept", b"application/json, text/event-stream")]
    if target.dialect.version == "1.0":
        headers.append((b"a2a-version", b"1.0"))
    headers += [(name, inbound.headers[name]) for name in _PASSED_ON if name in inbound.headers]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in exchange.trace.onward().items()]
    params = _params(inbound, target)
    if target.dialect.binding == "JSONRPC":
        body = request.body if params is None else _enveloped(request, params)
        return HttpRequest("POST", target.url, headers, body)
    parts = request.parts
    method, path = request_line(
        RestRoute(request.operation, target.dialect.version, target.tenant, parts.task_id, parts.config_id)
    )
    body = request.body if params is None else bytes(raw.write(params))
    query = f"?{request.query}" if request.query and not body else ""
    return HttpRequest(method, f"{target.url.rstrip('/')}{path}{query}", headers, body)


def _params(inbound: AgentInbound, target: Target) -> raw.Object | None:
    """Return the params with what the gateway has to say in them, None when that is nothing."""
    request = inbound.request
    params: raw.Object = dict(request.params)
    if inbound.route.skill and request.operation in MESSAGING:
        params = skills.with_skill(params, inbound.route.skill)
    if target.tenant and target.dialect.binding == "JSONRPC" and request.parts.tenant != target.tenant:
        params = raw.edit(params, {"tenant": raw.write(target.tenant)})
    return None if params == request.params else params


def _enveloped(request: A2aRequest, params: raw.Object) -> bytes:
    return bytes(raw.write(raw.edit(raw.members(request.body), {"params": raw.write(params)})))
