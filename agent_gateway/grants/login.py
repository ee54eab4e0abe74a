"""A person grants the gateway access to an upstream: from the upstream's challenge to a kept refresh token."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from agent_gateway.grants.authorize import begin, code_of, grant_of, register
from agent_gateway.grants.challenge import Challenge, read_challenge, scopes_of
from agent_gateway.grants.client import Client
from agent_gateway.grants.discovery import AuthServer, Resource, find_resource, find_server
from agent_gateway.grants.redirect import redirect_listener
from agent_gateway.grants.source import Discovered, first_scope, issuer_of
from agent_gateway.grants.store import Grant, GrantStore
from agent_gateway.grants.tokens import Asking, ask
from agent_gateway.grants.web import Web
from agent_gateway.ports import Clock
from agent_gateway.upstreams.speak import GATEWAY
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import outbound

CONSENT_TIMEOUT_S: Final = 300.0
_REFRESHABLE: Final = "offline_access"

Browse = Callable[[str], Awaitable[None]]


async def login(settings: Discovered, web: Web, clock: Clock, browse: Browse) -> Grant:
    """Have a person grant access, keep the grant and return it; raises `UpstreamFailed`, or `OSError` for the port.

    browse  takes the person to a URL; it may return before they are done there
    """
    challenge = await knock(web, settings.url)
    resource = await find_resource(web, settings.url, challenge)
    server = await find_server(web, issuer_of(settings, resource))
    store = GrantStore(settings.folder)
    before = await asyncio.to_thread(store.read, settings.upstream)
    if before is not None and before.issuer != server.issuer:
        before = None  # INVARIANT: nothing of one issuer goes to another
    scope = _scope(settings, resource, challenge, before, server)
    async with redirect_listener(settings.redirect_port) as redirect:
        client = await _client(settings, web, server, redirect.uri, scope)
        begun = begin(Asking(server, client, resource.name, scope), redirect.uri)
        await browse(begun.url)
        try:
            async with asyncio.timeout(CONSENT_TIMEOUT_S):
                query = await redirect.query()
        except TimeoutError:
            message = f"nobody came back within {CONSENT_TIMEOUT_S:.0f} seconds"
            raise UpstreamFailed(message, code="credential_refused") from None
    tokens = await ask(web, begun.asking, grant_of(begun, code_of(begun, query)), clock())
    kept = Client(client.id) if client is settings.client else client
    grant = Grant(server.issuer, resource.name, kept, tokens)
    await asyncio.to_thread(_keep, store, settings.upstream, grant)
    return grant


async def knock(web: Web, url: str) -> Challenge:
    """Ask the upstream something without a credential; return what it wants instead, empty when it answers."""
    headers, body = outbound.discover(b"1", GATEWAY)
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    answer = await web.knock(url, named, body)
    return read_challenge(answer.headers.get("www-authenticate", "")) if answer.status == 401 else Challenge()


def _scope(
    settings: Discovered, resource: Resource, challenge: Challenge, before: Grant | None, server: AuthServer
) -> tuple[str, ...]:
    earlier = () if before is None else (*before.tokens.scope, *before.wanted)
    scope = scopes_of((*earlier, *first_scope(settings, resource, challenge)))
    return scopes_of((*scope, _REFRESHABLE)) if scope and _REFRESHABLE in server.scopes else scope


async def _client(
    settings: Discovered, web: Web, server: AuthServer, redirect_uri: str, scope: tuple[str, ...]
) -> Client:
    """Return who the gateway is at this server: as configured, by the URL of its metadata, or registered just now."""
    client = settings.client
    if client is not None and (server.takes_urls or not client.id.startswith("https://")):
        return client
    return await register(web, server, redirect_uri, scope)


def _keep(store: GrantStore, upstream: str, grant: Grant) -> None:
    with store.locked(upstream):
        store.write(upstream, grant)
