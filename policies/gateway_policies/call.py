"""Calls: what is attempted. The same type for MCP, A2A, REST and LLM traffic.

From here on nothing knows the protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from gateway_policies.kinds import Action, Kind
from gateway_policies.principal import Principal

CapabilityKey = tuple[Kind, str]  # a kind and a public name: unique in a snapshot


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing to use, as policies, budgets and records see it.

    `name` is what the aggregate shows (`git__git_log`) and is unique in a
    snapshot among its kind; `native` is the upstream's own word for it. A
    resource's name is its URI or URI template, an agent's that of its upstream.
    """

    name: str
    native: str
    upstream: str
    kind: Kind = "tool"
    tags: frozenset[str] = frozenset()
    risk: int = 5  # 0 harmless .. 10 destructive: the operator's grade, never the upstream's
    read_only: bool = False  # the operator's word, never the upstream's
    price_micros: int = 0  # money one call costs, in millionths
    toolsets: frozenset[str] = frozenset()
    pin: str = ""  # digest of the definition that was approved
    steps: tuple[CapabilityKey, ...] = ()  # of a composite: all that a call of it may call; hidden if one of them is

    @property
    def key(self) -> CapabilityKey:
        return (self.kind, self.name)

    @property
    def label(self) -> str:
        """One word for it among all kinds, in budgets: `git__git_log`, `prompt:git__review`."""
        return self.name if self.kind == "tool" else f"{self.kind}:{self.name}"


class Call(msgspec.Struct, frozen=True):
    """One attempt by one principal on one capability.

    `arguments` are JSON values as parsed by our strict parser: big integers
    and floats are Python numbers, never rounded before a policy sees them. A
    resource that is read has one argument, `uri`.
    """

    id: str
    principal: Principal
    action: Action
    capability: Capability
    arguments: Mapping[str, object]
    at: float  # unix seconds
    route: str = ""  # the endpoint's name: `mcp`, a toolset, or `servers/{upstream}`
    operation: str = ""  # the protocol's word: `tools/call`, `SendMessage`
    parent: str = ""  # the id of the call that this one is a step of
