"""The MCP registry's API at `/registry/v0.1/servers…`: what this caller may connect to, and what owners publish.

An upstream or toolset of which the caller sees something is an entry whose remote is our
endpoint. Published entries are the owner's alone until an operator approves them.
Source: MCP registry OpenAPI 2025-12-01.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, cast
from urllib.parse import parse_qsl, unquote

import msgspec

from agent_gateway.errors import wire_form
from agent_gateway.listeners.body import ClientGone, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import check_head, check_json_post
from agent_gateway.listeners.registry import BASE, publisher_of
from agent_gateway.listeners.registry_request import RegistryRequest
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Route, Snapshot
from agent_gateway.stores.task_store import owner_of
from gateway_policies import strict_json
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, NotFound, Refusal, Unauthenticated
from mcp_registry import servers
from mcp_registry.protocol.lists import KINDS
from mcp_registry.servers import STATUSES, ServerEntry

SERVERS_PREFIX: Final = f"{BASE}/v0.1/"
MAX_STATUS_CHARS: Final = 500
_CREDENTIALS = frozenset({b"authorization", b"x-api-key"})


async def serve_servers(gateway: Gateway, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request below `SERVERS_PREFIX`."""
    request = _Request(gateway, snapshot, scope)
    try:
        document = await request.answer(receive)
    except ClientGone:
        return
    except Refusal as refusal:
        await request.refuse(send, refusal, *_told(refusal))
        return
    await send_bytes(send, 200, msgspec.json.encode(document), ((b"cache-control", b"private, no-store"),))


class _Request(RegistryRequest):
    """One request, and who sent it."""

    async def answer(self, receive: Receive) -> object:
        """Return the document that is asked for; raises a `Refusal`."""
        headers = check_head(self._scope["headers"], self._snapshot.head_rules)
        self._principal = await self._authenticate()
        path = self._scope["raw_path"].decode("latin-1").removeprefix(SERVERS_PREFIX)
        try:
            parts = [unquote(part, errors="strict") for part in path.split("/")]
        except UnicodeDecodeError:
            raise NotFound("nothing is served here") from None
        body: Mapping[str, object] = {}
        if self._scope["method"] in ("POST", "PATCH"):
            check_json_post(headers)
            raw = await read_body(receive, headers, servers.MAX_DOCUMENT_BYTES)
            parsed = strict_json.parse(raw, max_depth=32)
            if not isinstance(parsed, dict):
                raise BadRequest("the body must be an object")
            body = cast("dict[str, object]", parsed)
        return await self._routed(self._scope["method"], parts, body)

    async def _routed(self, method: str, parts: list[str], body: Mapping[str, object]) -> object:
        match (method, *parts):
            case ("GET", "servers"):
                query = dict(parse_qsl(self._scope["query_string"].decode("latin-1")))
                asked = servers.read_query(query)
                found = servers.list_document(await self._entries(), asked)
                self._record("ListServers", found)
                return found
            case ("GET", "servers", name, "versions"):
                return servers.versions_document(await self._versions(name))
            case ("GET", "servers", name, "versions", version):
                return self._one(await self._versions(name), version)
            case ("POST", "publish"):
                return await self._publish(body)
            case ("PATCH", "servers", name, "versions", version, "status"):
                return await self._set_status(name, version, body)
            case ("PATCH", "servers", name, "status"):
                return await self._set_status(name, "", body)
            case ("PUT" | "DELETE", "servers", _, "versions", _):
                raise BadRequest("versions do not change: set their status", code="not_implemented")
            case _:
                raise NotFound("nothing is served here")

    async def _authenticate(self) -> Principal | None:
        authenticator, raw = self._snapshot.identity.authenticator, self._scope["headers"]
        is_open = self._snapshot.config.registry.public and self._scope["method"] == "GET"
        if is_open and _CREDENTIALS.isdisjoint(name for name, _ in raw):
            return None
        resource, query = self._snapshot.identity.endpoints.url(BASE), self._scope["query_string"]
        principal = authenticator.authenticate(raw, resource, query)
        return principal if principal is not None else await authenticator.authenticate_cold(raw, resource, query)

    # --- what there is -----------------------------------------------------------------------

    async def _entries(self, name: str = "") -> list[ServerEntry]:
        """Return what this caller may see, of one server or (empty) of all."""
        owner_key = _owner_key(self._principal) if self._principal is not None else ""
        published = await asyncio.to_thread(self._gateway.servers.seen_by, owner_key, name)
        routes = list(self._visible_routes())
        # A remote that is hidden from the caller is dropped like one that never was: entries are no oracle.
        urls = [route.resource for route in routes]
        served = [_served_entry(self._snapshot, route, self._gateway.started_at) for route in routes]
        return [
            *(entry for entry in served if name in ("", entry.name)),
            *(_with_remotes(entry, urls) for entry in published if self._may_see(entry)),
        ]

    def _may_see(self, entry: ServerEntry) -> bool:
        """Whether a published entry is this caller's to see: its own, or an approved one of its tenant or operator."""
        if self._principal is not None and entry.owner_key == _owner_key(self._principal):
            return True
        if entry.approval != "approved":
            return False
        tenant = entry.owner.partition("/")[0]
        return not entry.owner_key or (self._principal is not None and tenant == self._principal.tenant)

    def _visible_routes(self) -> Iterator[Route]:
        """Yield each endpoint of which this caller sees something."""
        snapshot, principal = self._snapshot, self._principal
        for route in snapshot.routes.values():
            items = [capability for kind in KINDS for capability in route.view.capabilities_of(kind)]
            if principal is None or snapshot.bundle.visible(principal, items, route=route.name):
                yield route

    async def _versions(self, name: str) -> list[ServerEntry]:
        found = await self._entries(name)
        if not found:
            raise NotFound("Server not found")
        return found

    def _one(self, versions: list[ServerEntry], version: str) -> object:
        latest = servers.latest_of(versions)
        wanted = latest if version == "latest" else next((one for one in versions if one.version == version), None)
        if wanted is None:
            raise NotFound("Server not found")
        return servers.shown_entry(wanted, is_latest=wanted is latest)

    # --- what owners do ----------------------------------------------------------------------

    async def _publish(self, body: Mapping[str, object]) -> object:
        principal = self._known()
        problems = servers.problems_with(dict(body))
        if problems:
            raise BadRequest("this is no server.json", code="invalid_params", details={"problems": problems})
        if str(body["name"]).partition("/")[0] == _namespace(self._snapshot):
            raise BadRequest("this namespace is the gateway's own", code="invalid_params")
        now = self._gateway.services.clock()
        entry = ServerEntry(
            body, principal.label, _owner_key(principal), "pending",
            status_at=now, published_at=now, updated_at=now,
        )  # fmt: skip
        await asyncio.to_thread(self._gateway.servers.publish, entry)
        shown = self._one(await self._versions(entry.name), entry.version)
        self._record("PublishServer", shown)
        return shown

    async def _set_status(self, name: str, version: str, body: Mapping[str, object]) -> object:
        principal = self._known()
        status, message = body.get("status"), body.get("statusMessage", "")
        if status not in STATUSES or not isinstance(message, str) or len(message) > MAX_STATUS_CHARS:
            raise BadRequest(
                f"`status` must be one of {', '.join(STATUSES)}, `statusMessage` text of at most {MAX_STATUS_CHARS}",
                code="invalid_params",
            )
        now, store = self._gateway.services.clock(), self._gateway.servers
        key = _owner_key(principal)
        await asyncio.to_thread(store.set_status, name, version, status, message, key, now)
        versions = await self._versions(name)
        document = self._one(versions, version) if version else servers.versions_document(versions)
        self._record("SetServerStatus", document)
        return document

    def _known(self) -> Principal:
        if self._principal is None:
            raise Unauthenticated("say who you are")
        return self._principal

    def _record(self, operation: str, document: object) -> None:
        if self._principal is not None:
            size = len(msgspec.json.encode(document))
            self._gateway.record_list(operation, self._principal, "registry", {}, size)


def _told(refusal: Refusal) -> tuple[int, object]:
    """Return status and body of a refusal in the registry's form."""
    body: dict[str, object] = {"error": refusal.message}
    if refusal.details:
        body["details"] = dict(refusal.details)
    return _STATUS.get(refusal.code, wire_form(refusal).http_status), body


_STATUS: Final[Mapping[str, int]] = {"version_exists": 409, "not_implemented": 501}


def _owner_key(principal: Principal) -> str:
    owner = owner_of(principal)
    return json.dumps([owner.tenant, owner.key])


def _with_remotes(entry: ServerEntry, urls: list[str]) -> ServerEntry:
    return replace(entry, document=servers.with_gateway_remotes(entry.document, urls))


def _namespace(snapshot: Snapshot) -> str:
    return ".".join(reversed(publisher_of(snapshot).domain.split(".")))


def _served_entry(snapshot: Snapshot, route: Route, since: float) -> ServerEntry:
    name = route.view.name if route.view.is_native else route.name
    config = snapshot.config.upstreams.get(name) if route.view.is_native else snapshot.config.toolsets.get(name)
    title = config.title if config is not None else None
    document: dict[str, object] = {
        "$schema": servers.SCHEMA_ID,
        "name": f"{_namespace(snapshot)}/{name if route.view.is_native else f'toolset.{name}'}",
        "description": f"{title or name}, through the gateway"[:100],
        "version": _version_of(snapshot, name) if route.view.is_native else "1.0.0",
        "remotes": [{"type": "streamable-http", "url": route.resource}],
    }
    if title:
        document["title"] = title[:100]
    owner = getattr(config, "owner", None) or "operator"
    return ServerEntry(document, owner, "", status_at=since, published_at=since, updated_at=since)


def _version_of(snapshot: Snapshot, upstream: str) -> str:
    """Return the version that an upstream gives itself, where it is one."""
    info = snapshot.infos.get(upstream)
    try:
        said = msgspec.json.decode(info.server_info, type=dict[str, object]) if info and info.server_info else {}
    except msgspec.DecodeError:
        said = {}
    version = said.get("version")
    probe = {"name": "x/y", "description": "x", "version": version}
    return version if isinstance(version, str) and not servers.problems_with(probe) else "0.0.0"
