"""What may be found here, for those who look: AI Catalog, Agentic Resource Discovery, RFC 9727.

Agents and MCP endpoints are one list, and it shows what the caller may use. Who says
nothing of itself sees what operators made public: the two well-known documents only.
"""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from a2a_gateway import ard, directory
from a2a_gateway.cards import WELL_KNOWN
from a2a_gateway.directory import CATALOG_PATH, CATALOG_TYPE, LINKSET_PATH, LINKSET_TYPE, Entry, Publisher
from agent_gateway.listeners.agent_card import card_for
from agent_gateway.listeners.body import ClientGone, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.registry_request import RegistryRequest
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.toolset_work import names_for
from agent_gateway.runtime.agents import REGISTRY
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.toolset_agents import card_of, published
from agent_gateway.snapshot import AgentRoute, Route, Snapshot, ToolsetRoute
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, NotFound, Refusal

BASE = REGISTRY
PATHS = frozenset({CATALOG_PATH, LINKSET_PATH, f"{BASE}/search", f"{BASE}/agents", f"{BASE}/explore"})
CURSOR_LIFE_S = 3600.0
MAX_BODY_BYTES = 64 * 1024
_OPEN = frozenset({CATALOG_PATH, LINKSET_PATH})
_JSON = "application/json"

Answer = tuple[object, str]  # a document and its content type


async def serve_registry(gateway: Gateway, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request at one of `PATHS`."""
    request = _Request(gateway, snapshot, scope)
    try:
        document, kind = await request.answer(receive)
    except ClientGone:
        return
    except Refusal as refusal:
        await request.refuse(send, refusal, *ard.error(refusal))
        return
    headers = [
        (b"content-type", kind.encode()),
        (b"cache-control", b"private, max-age=60"),
        (b"vary", b"authorization"),
    ]
    await send_bytes(send, 200, msgspec.json.encode(document), headers)


class _Request(RegistryRequest):
    """One request, and who sent it."""

    @property
    def _path(self) -> str:
        return self._scope["path"]

    async def answer(self, receive: Receive) -> Answer:
        """Return the document that is asked for; raises a `Refusal`."""
        snapshot, path = self._snapshot, self._path
        headers = check_head(self._scope["headers"], snapshot.head_rules)
        wanted = "POST" if path in (f"{BASE}/search", f"{BASE}/explore") else "GET"
        if self._scope["method"] != wanted:
            raise BadRequest(f"this is asked for with {wanted}", code="method_not_allowed")
        self._principal = await self._authenticate()
        publisher, entries = publisher_of(snapshot), list(entries_for(snapshot, self._principal))
        if self._principal is not None:
            self._gateway.record_list("ListAgents", self._principal, "registry", {}, len(entries))
        if path == CATALOG_PATH:
            return directory.catalog(publisher, entries), CATALOG_TYPE
        if path == LINKSET_PATH:
            return directory.linkset(snapshot.identity.endpoints.url(LINKSET_PATH), entries), LINKSET_TYPE
        if path == f"{BASE}/agents":
            browse = ard.read_browse(dict(parse_qsl(self._scope["query_string"].decode("latin-1"))))
            return self._paged(ard.browse(publisher, entries, browse, self._offset(browse.page_token))), _JSON
        body = await read_body(receive, headers, MAX_BODY_BYTES)
        if path == f"{BASE}/explore":
            return ard.explore(publisher, entries, ard.read_explore(body)), _JSON
        search = ard.read_search(body)
        return self._paged(ard.search(publisher, entries, search, self._offset(search.page_token))), _JSON

    async def _authenticate(self) -> Principal | None:
        authenticator, raw = self._snapshot.identity.authenticator, self._scope["headers"]
        names = {name for name, _ in raw}
        if self._path in _OPEN and names.isdisjoint({b"authorization", b"x-api-key"}):
            return None
        resource, query = self._snapshot.identity.endpoints.url(BASE), self._scope["query_string"]
        principal = authenticator.authenticate(raw, resource, query)
        return principal if principal is not None else await authenticator.authenticate_cold(raw, resource, query)

    def _paged(self, page: ard.Page) -> object:
        if page.next_offset is None or self._principal is None:
            return page.document
        until = self._gateway.services.clock() + CURSOR_LIFE_S
        payload = b"%d" % page.next_offset
        return page.with_token(self._gateway.sealer.seal(self._purpose, self._principal, payload, until))

    def _offset(self, token: str) -> int:
        if not token or self._principal is None:
            return 0
        now = self._gateway.services.clock()
        try:
            return int(self._gateway.sealer.open(self._purpose, self._principal, token, now))
        except NotFound:
            raise BadRequest("this page token is not one of ours", hint="ask again from the start") from None

    @property
    def _purpose(self) -> str:
        return f"registry:{self._path}"


def publisher_of(snapshot: Snapshot) -> Publisher:
    """Return who publishes: the host of the public URL, `gateway.localhost` where that is no full name."""
    endpoints = snapshot.identity.endpoints
    host = (urlsplit(endpoints.public_url).hostname or "").lower()
    is_name = "." in host.strip(".") and ":" not in host and not host.replace(".", "").isdigit()
    domain = host if is_name else "gateway.localhost"
    return Publisher(domain, "Agent Gateway", endpoints.url(BASE))


def entries_for(snapshot: Snapshot, principal: Principal | None) -> Iterator[Entry]:
    """Yield what `principal` may use: agents, skills of agents that it may not use whole, MCP endpoints."""
    whole: set[str] = set()
    for route in sorted(snapshot.agent_routes.values(), key=lambda one: (one.path.count("/"), one.path)):
        if route.agent.name in whole or not _may_see(snapshot, route, principal):
            continue
        if not route.skill:
            whole.add(route.agent.name)
        yield _agent_entry(snapshot, route, principal)
    for toolset in snapshot.toolset_routes.values():
        names = names_for(snapshot, toolset, principal) if principal is not None else published(toolset)
        if names if principal is not None else toolset.config.visibility == "public":
            yield _toolset_entry(toolset, names)
    if principal is None:
        return
    for route in snapshot.routes.values():
        seen = snapshot.bundle.visible(principal, route.view.capabilities, route=route.name)
        if seen:
            yield _server_entry(route, tuple(route.view.shown_name(one) for one in seen))


def _may_see(snapshot: Snapshot, route: AgentRoute, principal: Principal | None) -> bool:
    if principal is None:
        return route.agent.config.visibility == "public" and not route.skill
    return bool(snapshot.bundle.visible(principal, [route.capability], route=route.name))


def _agent_entry(snapshot: Snapshot, route: AgentRoute, principal: Principal | None) -> Entry:
    assert route.agent.card is not None
    card = card_for(snapshot, route, principal, route.agent.card)
    skills = card.get("skills")
    kind: Literal["agent"] = "agent"
    return Entry(
        kind,
        f"{route.agent.name}.{route.skill}" if route.skill else route.agent.name,
        str(card["name"]),
        route.resource,
        route.resource + WELL_KNOWN,
        str(card["description"]),
        str(card["version"]),
        tuple(sorted(route.capability.tags)),
        tuple(str(skill["id"]) for skill in skills if isinstance(skill, dict)) if isinstance(skills, list) else (),  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    )


def _toolset_entry(route: ToolsetRoute, names: list[str]) -> Entry:
    card = card_of(route, names, tells_arguments=False)
    return Entry(
        "agent", route.name.removeprefix("a2a/"), card.name, route.resource, route.resource + WELL_KNOWN,
        card.description, card.version, capabilities=tuple(names),
    )  # fmt: skip


def _server_entry(route: Route, names: tuple[str, ...]) -> Entry:
    return Entry(
        "server", route.name.replace("/", "."), f"Tools of {route.name}", route.resource, route.resource,
        capabilities=names,
    )  # fmt: skip
