"""A governed operation of an agent: described, run through the pipeline, sent on, its answer passed back.

Describing and sending are all that is A2A's own here; what happens in between is
`agent_gateway.pipeline.run`, the same for every kind of traffic.
"""

import asyncio
from dataclasses import replace

from a2a_gateway import errors, outbound, raw, skills
from a2a_gateway.operations import MESSAGING, PUSH, STREAMED, Operation
from a2a_gateway.outbound import HttpOut
from agent_gateway.identity.delegation import check_chain
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_made import Making
from agent_gateway.listeners.agent_passage import Passing
from agent_gateway.listeners.agent_push import with_hook
from agent_gateway.listeners.agent_refusals import no_agent, render, task_not_found
from agent_gateway.listeners.agent_reply import AgentReply
from agent_gateway.listeners.body import ClientWatch
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.run import run
from agent_gateway.ports import HttpRequest, HttpResponse, UpstreamAnswer
from agent_gateway.runtime.agents import unusable
from agent_gateway.snapshot import Target
from agent_gateway.upstreams.speak import deadline
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, Refusal, UpstreamFailed, UpstreamUnreachable

_MADE = PUSH | {Operation.LIST_TASKS, Operation.EXTENDED_CARD}  # answered by the gateway, from the agent's


async def call_agent(inbound: AgentInbound) -> None:
    """Answer one operation. A refusal of the described call is answered here."""
    gateway, request = inbound.gateway, inbound.request
    now = asyncio.get_running_loop().time()
    reply = AgentReply(inbound.send, now=now, write_timeout_s=gateway.write_timeout_s)
    with gateway.running(inbound.principal, None, reply) as in_charge:
        exchange = gateway.exchange(inbound.principal, inbound.route.name, inbound.trace_context())
        sent = Sent(inbound, exchange, reply)
        # Whoever leaves a stream closes it at the agent too; the task goes on, and so does a message that waits for it.
        watch = ClientWatch(inbound.receive, in_charge.cancel) if request.operation in STREAMED else None
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
    await sent.passing.finish()


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
    """One call on its way to the agent."""

    def __init__(self, inbound: AgentInbound, exchange: Exchange, reply: AgentReply) -> None:
        self._inbound = inbound
        self._exchange = exchange
        self.passing = Passing(inbound, exchange, reply)

    async def forward(self, permit: Permit) -> UpstreamAnswer:
        """Send the call on and pass its answer back: a stream as it comes, anything else once it is whole."""
        inbound, exchange = self._inbound, self._exchange
        exchange.was_sent = False  # until something leaves, it costs nothing
        principal = permit.call.principal
        max_chain = inbound.snapshot.config.token_service.max_chain
        check_chain(inbound.agent.name, inbound.agent.config.acts_as, principal, max_chain)
        await self._check_ids()
        target = inbound.agent.target_for(inbound.request.dialect)
        if target is None:
            raise unusable(inbound.agent)
        limit_s = min(inbound.agent.config.timeout_s, inbound.snapshot.config.limits.call_timeout_s)
        try:
            with deadline(limit_s):
                response = await self._carry(principal, target, limit_s)
            if response is not None:
                return await self.passing.stream(response)
        except UpstreamFailed as failure:
            inbound.agent.upstream.broke(failure)
            raise
        return self.passing.done()

    async def _carry(self, principal: Principal, target: Target, limit_s: float) -> HttpResponse | None:
        """Send the call, or what answers it; return the answer when it is a stream that begins."""
        inbound, exchange = self._inbound, self._exchange

        async def send(out: HttpOut) -> HttpResponse:
            exchange.was_sent = True
            outgoing = http_of(out, target, exchange)
            return await inbound.agent.upstream.send(outgoing, principal, timeout_s=limit_s)

        if inbound.request.operation in _MADE:
            making = Making(inbound, target, lambda out: self.passing.asked(send(out)))
            self.passing.made(await making.answer())
            return None
        params: raw.Object | None = None
        if inbound.request.parts.push is not None:
            params, self.passing.hook = await with_hook(inbound, inbound.request.params)
        try:
            response = await send(request_to(inbound, target, params))
        except (UpstreamUnreachable, BadRequest):  # the agent never heard of it; after a timeout it may still post
            await self.passing.forget_hook()
            raise
        return response if await self.passing.begin(response, target) else None

    async def _check_ids(self) -> None:
        """Refuse ids that are not the caller's, in the words of ids that never were."""
        parts, agent = self._inbound.request.parts, self._inbound.agent
        if self._inbound.request.operation is Operation.LIST_TASKS:
            return  # a list holds the caller's own tasks alone
        tasks = [one for one in (parts.task_id, *parts.reference_task_ids) if one]
        contexts = [parts.context_id] if parts.context_id else []
        where, store = self._inbound.where, self._inbound.gateway.tasks
        if contexts and not tasks and agent.config.client_contexts == "accept":
            if not await store.claim(where, [], contexts):
                raise task_not_found()
        elif (tasks or contexts) and not await store.owns(where, tasks, contexts):
            raise task_not_found()


def request_to(inbound: AgentInbound, target: Target, params: raw.Object | None = None) -> HttpOut:
    """Return the request to the agent: the caller's own bytes wherever nothing had to be changed.

    params  what the gateway has changed so far, None for nothing
    """
    request = inbound.request
    if inbound.route.skill and request.operation in MESSAGING:
        params = skills.with_skill(request.params if params is None else params, inbound.route.skill)
    return outbound.write(request, target.dialect, tenant=target.tenant, params=params)


def http_of(out: HttpOut, target: Target, exchange: Exchange) -> HttpRequest:
    """Return a request with the place that it goes to and its trace."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in out.headers]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in exchange.trace.onward().items()]
    url = f"{target.url.rstrip('/')}{out.path}" if out.path else target.url
    return HttpRequest(out.method, f"{url}?{out.query}" if out.query else url, headers, out.body)
