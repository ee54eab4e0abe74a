"""Every definition that an MCP upstream has, whatever its transport."""

from dataclasses import replace

from agent_gateway.ports import Listed, McpUpstream, UpstreamRequest
from agent_gateway.upstreams.asking import NOBODY
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.speak import list_all, offers
from gateway_policies.principal import Principal
from mcp_registry.protocol.lists import LISTS, ItemKind


async def list_items(upstream: McpUpstream, kind: ItemKind, principal: Principal, settings: UpstreamSettings) -> Listed:
    """Return every definition of a kind, all pages, as raw JSON; raises like `upstream.request`."""
    shape = LISTS[kind]
    if kind != "tools" and not offers(await upstream.server_info(principal), shape):
        return Listed()
    first = UpstreamRequest(shape.method, {}, principal, timeout_s=settings.timeouts.page_s, is_idempotent=True)
    return await list_all(
        lambda params: upstream.request(replace(first, params=params), NOBODY), shape, settings.limits
    )
