"""One request at an agent's endpoint, authenticated and read: what every part of that listener needs."""

from collections.abc import Mapping
from dataclasses import dataclass

from a2a_gateway.inbound import Inbound
from agent_gateway.listeners.body import Receive, Send
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import AgentRoute, RemoteAgent, Snapshot
from agent_gateway.stores.task_store import Where, owner_of
from gateway_policies.call import Capability
from gateway_policies.principal import Principal

TRACE = ("traceparent", "tracestate", "baggage")


@dataclass(frozen=True, slots=True)
class AgentInbound:
    """The request, who sent it, and the state of the gateway it is served from.

    skill  that the request is about, by the agent's own id: the facade's, or the one that its message names
    """

    gateway: Gateway
    snapshot: Snapshot
    route: AgentRoute
    principal: Principal
    headers: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    request: Inbound
    skill: str = ""

    @property
    def agent(self) -> RemoteAgent:
        return self.route.agent

    @property
    def capability(self) -> Capability:
        return self.agent.skills[self.skill] if self.skill else self.agent.capability

    @property
    def where(self) -> Where:
        """Whose tasks the request may speak of."""
        return Where(owner_of(self.principal), self.agent.name, self.skill)

    def trace_context(self) -> dict[str, str]:
        """Return the caller's trace context."""
        found = {name: self.headers.get(name.encode(), b"").decode("latin-1") for name in TRACE}
        return {name: value for name, value in found.items() if value}
