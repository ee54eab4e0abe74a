"""Hearing from every upstream that its lists changed, so that the catalogue need not wait for the next look.

One listening per upstream, in the gateway's own name, for as long as that upstream is served.
"""

import asyncio
from collections.abc import Callable

from msgspec import Raw

from agent_gateway.ports import Listen, McpUpstream
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.provision import service_principal
from mcp_registry.protocol.subscriptions import LIST_CHANGED

Nudge = Callable[[str], None]  # takes the upstream's name
_SAYS_SO = frozenset(LIST_CHANGED.values())


async def hear_list_changes(gateway: Gateway, nudge: Nudge) -> None:
    """Call `nudge` with the name of each upstream that says one of its lists changed, until cancelled."""
    listening: dict[str, tuple[McpUpstream, asyncio.Task[None]]] = {}
    try:
        while True:
            changed = gateway.changes.next_change()
            served = gateway.snapshot.upstreams
            for name, (upstream, task) in list(listening.items()):
                if served.get(name) is not upstream:
                    task.cancel()
                    del listening[name]
            for name, upstream in served.items():
                if name not in listening:
                    listening[name] = (upstream, _begin(gateway, name, upstream, nudge))
            await asyncio.wait({changed})
    finally:
        for _, task in listening.values():
            task.cancel()


def _begin(gateway: Gateway, name: str, upstream: McpUpstream, nudge: Nudge) -> asyncio.Task[None]:
    def heard(method: str, _: Raw | None) -> None:
        if method in _SAYS_SO:
            nudge(name)

    wanted = Listen(service_principal(gateway.snapshot.config), frozenset(LIST_CHANGED))
    task = asyncio.get_running_loop().create_task(upstream.listen(wanted, heard))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
