"""Hearing from every upstream that its lists changed, so that the catalogue need not wait for the next look.

One listening per upstream, in the gateway's own name, for as long as that upstream is served.
"""

import asyncio
from collections.abc import Callable

from msgspec import Raw

from agent_gateway.ports import Heard, Listen, McpUpstream
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.provision import service_principal
from gateway_policies.refusal import Refusal
from mcp_registry.protocol.subscriptions import LIST_CHANGED, told_lists

Nudge = Callable[[str], None]  # takes the upstream's name
ASK_AGAIN_AFTER_S = 30.0
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

    task = asyncio.get_running_loop().create_task(_listen(gateway, upstream, heard))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def _listen(gateway: Gateway, upstream: McpUpstream, heard: Heard) -> None:
    """Listen to an upstream that may tell of its lists; one that is away is asked again later."""
    principal = service_principal(gateway.snapshot.config)
    while True:
        try:
            info = await upstream.server_info(principal)
        except Refusal:
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
            continue
        lists = told_lists(info.capabilities, info.era)
        if lists:
            await upstream.listen(Listen(principal, lists), heard)
        return
