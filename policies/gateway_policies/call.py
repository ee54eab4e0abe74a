"""Calls: what is attempted. The same type for MCP, A2A, REST and LLM traffic.

From here on nothing knows the protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway_policies.principal import Principal

Action = Literal["call", "list"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One callable unit, as policies, budgets and records see it.

    `name` is what the aggregate shows (`git__git_log`) and is unique in a
    snapshot; `native` is the upstream's own word for it.
    """

    name: str
    native: str
    upstream: str
    kind: Literal["tool"] = "tool"
    tags: frozenset[str] = frozenset()
    risk: int = 5  # 0 harmless .. 10 destructive: the operator's grade, never the upstream's
    read_only: bool = False  # the operator's word, never the upstream's
    price_micros: int = 0  # money one call costs, in millionths
    toolsets: frozenset[str] = frozenset()
    pin: str = ""  # digest of the definition that was approved


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt by one principal on one capability.

    `arguments` are JSON values as parsed by our strict parser: big integers
    and floats are Python numbers, never rounded before a policy sees them.
    """

    id: str
    principal: Principal
    action: Action
    capability: Capability
    arguments: Mapping[str, object]
    at: float  # unix seconds
    route: str = ""  # the endpoint's name: `mcp`, a toolset, or `servers/{upstream}`
