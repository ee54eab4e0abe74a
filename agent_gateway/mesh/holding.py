"""What of an API is held: the contracts that an approval would change, as definitions that wait in the store of pins.

The folder says what is served. The store mirrors it, so that there is one list of what waits, one way to see what
changed in it, and one word of an operator on it, for APIs and MCP servers alike.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent_gateway.mesh.approved import contract_of
from agent_gateway.mesh.compare import approved_now, changes_of
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import Imported, approve, latest
from agent_gateway.stores.pin_store import Pinned, PinStore
from context_mesh.openapi.tool import Tool
from gateway_policies.refusal import NotFound

OPERATIONS: Final = "operations"  # the kind of list that they are in the store
GONE: Final = "gone"  # the pin of an operation that a description has no more


@dataclass(frozen=True, slots=True)
class Looked:
    """What a description changed.

    published  approved tools whose change needs no word: they are served as they are now
    held       those that wait for one, each with what changed in words
    """

    published: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()


def follow(folder: ApiFolder, imported: Imported) -> Looked:
    """Serve what changed without anybody having to say so, and return that and what is held.

    Quiet and notable changes are served, as `context_mesh.contract` classes them; nothing new is ever served.
    """
    changes = changes_of(folder, imported)
    unheld = {one.tool for one in changes if one.verdict in ("quiet", "notify")}
    if unheld:
        approve(folder, lambda tool: tool.name in unheld)
    held = tuple((one.tool, "; ".join(one.what)) for one in changes if one.verdict in ("hold", "withdraw"))
    return Looked(tuple(sorted(unheld)), held)


def mirror(store: PinStore, upstream: str, folder: ApiFolder, at: float) -> int:
    """Let the store say what of an API is approved and what waits; return how much waits."""
    before = approved_now(folder)
    imported = latest(folder)
    verdicts = {one.tool: one.verdict for one in changes_of(folder, imported)}
    after = imported.made.by_name
    store.settle(upstream, OPERATIONS, [_pinned(tool) for tool in before.values()], at)
    held = [
        _pinned(after[name]) if verdict == "hold" and name in after else Pinned(name, GONE, b"{}")
        for name, verdict in verdicts.items()
        if verdict in ("hold", "withdraw") and name in before
    ]
    store.wait(upstream, OPERATIONS, held, at)
    return len(held)


def release(folder: ApiFolder, name: str, pin: str) -> None:
    """Serve one held operation as the latest import has it, or no longer; raises `NotFound` for another pin."""
    made: Mapping[str, Tool] = latest(folder).made.by_name
    tool = made.get(name)
    if pin == GONE and tool is None:
        approve(folder, lambda _: False, withdrawn=[name])
        return
    if tool is None or contract_of(tool) != pin:
        raise NotFound(f"`{name}` is not what was looked at any more", hint="look at what waits now")
    approve(folder, lambda one: one.name == name)


def _pinned(tool: Tool) -> Pinned:
    operation = tool.operation
    told = {
        **tool.definition(),
        "request": operation.key,
        "risk": tool.risk.name.lower(),
        "servers": [server.url for server in operation.servers] if operation.has_own_servers else [],
        "security": [[need.scheme.name for need in option] for option in operation.security],
    }
    return Pinned(tool.name, contract_of(tool), json.dumps(told, default=str).encode())
