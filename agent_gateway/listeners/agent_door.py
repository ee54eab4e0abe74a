"""What stands behind an endpoint below `/a2a/`: an agent that we forward to, or a toolset of our own.

The listener checks, authenticates and reads the same way for both; a door says who may come in, which card
is on it, and who answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from a2a_gateway import skills
from a2a_gateway.inbound import Inbound
from a2a_gateway.operations import MESSAGING, PUSH, Version
from agent_gateway.listeners.agent_call import call_agent
from agent_gateway.listeners.agent_card import asked_in, card_for
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_refusals import no_agent, other_tenant, push_off
from agent_gateway.listeners.body import Receive, Scope, Send
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import AgentRoute, Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest

MESSAGE_SCOPE: Final = "agents:message"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request that was read, who sent it, and the state of the gateway it is served from.

    scope  as it came, to hand it over whole
    """

    gateway: Gateway
    snapshot: Snapshot
    principal: Principal
    headers: Mapping[bytes, bytes]
    receive: Receive
    send: Send
    scope: Scope
    request: Inbound


class Door(Protocol):
    """One endpoint; `serve` are the versions it speaks, `is_public` says that everybody may read its card."""

    @property
    def name(self) -> str: ...

    @property
    def is_public(self) -> bool: ...

    @property
    def serve(self) -> tuple[Version, ...]: ...

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what an access token must be for."""
        ...

    def is_open(self, snapshot: Snapshot, principal: Principal) -> bool:
        """Say whether there is anything behind it for `principal`."""
        ...

    def card(
        self, snapshot: Snapshot, principal: Principal | None, headers: Mapping[bytes, bytes]
    ) -> dict[str, object]:
        """Return the card that `principal` may see, unsigned; None: what everybody may."""
        ...

    async def answer(self, arrived: Arrived) -> None:
        """Answer one operation; raises a `Refusal` for what describes no call."""
        ...


@dataclass(frozen=True, slots=True)
class AgentDoor:
    """The door of an agent that we forward to, or of one of its skills."""

    route: AgentRoute

    @property
    def name(self) -> str:
        return self.route.name

    @property
    def is_public(self) -> bool:
        return self.route.agent.config.visibility == "public"

    @property
    def serve(self) -> tuple[Version, ...]:
        return self.route.agent.config.serve

    @property
    def scopes(self) -> tuple[str, ...]:
        return (MESSAGE_SCOPE,)

    def is_open(self, snapshot: Snapshot, principal: Principal) -> bool:
        return bool(snapshot.bundle.visible(principal, [self.route.capability], route=self.route.name))

    def card(
        self, snapshot: Snapshot, principal: Principal | None, headers: Mapping[bytes, bytes]
    ) -> dict[str, object]:
        assert self.route.agent.card is not None
        return card_for(snapshot, self.route, principal, self.route.agent.card, asked_in(headers))

    async def answer(self, arrived: Arrived) -> None:
        route, request = self.route, arrived.request
        skill = _skill_of(route, request, arrived.snapshot, arrived.principal)
        if request.parts.tenant not in ("", *(target.tenant for target in route.agent.targets)):
            raise other_tenant()
        if route.agent.config.push == "off" and is_about_push(request):
            raise push_off()
        await call_agent(
            AgentInbound(
                arrived.gateway, arrived.snapshot, route, arrived.principal, arrived.headers, arrived.receive,
                arrived.send, request, skill,
            )
        )  # fmt: skip


def is_about_push(request: Inbound) -> bool:
    """Say whether a request wants updates posted somewhere, or asks after that."""
    return request.operation in PUSH or request.parts.push is not None


def _skill_of(route: AgentRoute, request: Inbound, snapshot: Snapshot, principal: Principal) -> str:
    """Return the skill that a request is about; a hidden one and an unknown one are the same refusal."""
    named = skills.named(request) if request.operation in MESSAGING else ""
    if route.skill:
        if named and named != route.skill:
            raise BadRequest("this endpoint is another skill's", code="invalid_params", hint="name this skill, or none")
        return route.skill
    if not named:
        return ""
    capability = route.agent.skills.get(named)
    if capability is None or not snapshot.bundle.visible(principal, [capability], route=route.name):
        raise no_agent()
    return named
