"""Making snapshots: load → validate → provision, beside the running one and never in its place.

Nothing here serves a request. What fails raises `BadConfiguration`, and the
caller keeps what it has. Upstreams that a new snapshot no longer needs are
handed back to be drained and closed.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import Raw

import gateway_policies
from agent_gateway.config.load import Loaded
from agent_gateway.config.root import Config
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.listeners.guard import HeadRules, hosts_of, origin_of
from agent_gateway.ports import Clock, Listed, McpUpstream, ServerInfo
from agent_gateway.runtime import governance
from agent_gateway.runtime.agents import (
    REGISTRY,
    UNSEEN,
    SeenCard,
    agents_of,
    bridges_of,
    drifts_of,
    held_to_pin,
    info_of,
    look_at_agent,
    paths_of,
    routes_of,
    tools_of,
)
from agent_gateway.runtime.api_upstreams import grades_of
from agent_gateway.runtime.embeddings import Embedder, EmbeddingServer
from agent_gateway.runtime.flow_upstreams import joined
from agent_gateway.runtime.identities import SCOPES, BadIdentity, Keep, delegator_of, issuer_url, make_identity
from agent_gateway.runtime.pinning import Pinning
from agent_gateway.runtime.schemas import BadSchema, NeverValid, Validator, compile_schema
from agent_gateway.runtime.toolset_agents import toolset_paths_of, toolset_routes_of
from agent_gateway.runtime.unlisted import unlisted_of, with_unlisted
from agent_gateway.runtime.upstream_set import Kept, make_upstreams
from agent_gateway.snapshot import RemoteAgent, Route, Snapshot
from agent_gateway.upstreams.a2a_http import HttpAgent
from agent_gateway.upstreams.workflows import Workflows
from gateway_policies import strict_json
from gateway_policies.budgets import ChargeTable
from gateway_policies.bundle import PolicyBundle, compile_bundle
from gateway_policies.principal import Principal
from gateway_policies.rates import RateRules
from gateway_policies.refusal import Refusal, Unavailable
from gateway_policies.sources import PolicyErrors, PolicySource
from gateway_policies.world import World
from mcp_registry.catalog import Catalog, Rule, UpstreamCatalog, UpstreamItems, View, assemble, make_part, read_lists
from mcp_registry.definitions import Finding
from mcp_registry.protocol.lists import KINDS, ItemKind
from mcp_registry.quarantine import Mode


class BadConfiguration(Exception):
    """The configuration cannot be served; every line says one mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one upstream showed last: its part of the catalogue, and why it shows nothing new, if so.

    lists     what it said, as it came: to be read again when the configuration's rules change
    info      what it says of itself, as of the last time it did
    unlisted  lists that it has and does not give, with the public reason; what they held before stays
    """

    part: UpstreamCatalog
    missing: str = ""  # public reason; empty while it answers
    lists: Mapping[ItemKind, Listed] = field(default_factory=dict[ItemKind, Listed])
    unlisted: Mapping[ItemKind, str] = field(default_factory=dict[ItemKind, str])
    info: ServerInfo | None = None
    card: SeenCard = UNSEEN  # of an agent; it has no definitions
    grades: Sequence[Rule] = ()  # our own of an API's tools, which the operator's rules come after


class Provisioner:
    """Makes snapshots of this worker, and remembers what can be used again."""

    def __init__(self, keep: Keep, clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._validators: dict[str, Validator] = {}
        self._embedding: Embedder | None = None

    async def provision(self, loaded: Loaded, kept: Mapping[str, Kept], seen: Mapping[str, Seen]) -> Snapshot:
        """Return the snapshot of a configuration, its upstreams and what they showed. Raises `BadConfiguration`."""
        return await asyncio.to_thread(self._make, loaded, kept, seen)

    def upstreams(self, loaded: Loaded, previous: Mapping[str, Kept]) -> dict[str, Kept]:
        """Return the upstreams of a configuration, those unchanged as they are. Raises `BadConfiguration`."""
        try:
            delegator = delegator_of(loaded, self._keep.keys, self._clock)
            return make_upstreams(loaded, previous, self._clock, delegator.hop_token)
        except ValueError as error:
            raise BadConfiguration([f"upstreams: {error}"]) from error

    def _make(self, loaded: Loaded, kept: Mapping[str, Kept], seen: Mapping[str, Seen]) -> Snapshot:
        config = loaded.config
        toolsets = governance.toolsets_of(config)
        catalog = assemble(joined([seen[name].part for name in kept], _steps_of(kept)), toolsets)
        missing = {name: seen[name].missing for name in kept if seen[name].missing}
        remote = agents_of(config, kept, {name: seen[name].card for name in kept}, toolsets)
        infos = {name: info for name in kept if (info := seen[name].info) is not None}
        unlisted = unlisted_of(config, infos)
        world = with_unlisted(governance.world_of(config, catalog, set(kept) - set(missing), remote), unlisted)
        sources = governance.sources_of(loaded, starter_policies() if config.policies.starter else "")
        bundle, findings = _bundle(sources, world)
        views = _views(config, catalog, [name for name in kept if name not in remote or remote[name].is_bridged])
        agent_paths, toolset_paths = paths_of(remote), toolset_paths_of(config)
        endpoints = _endpoints(loaded, [*views, *agent_paths, *toolset_paths, REGISTRY])
        try:
            identity = make_identity(loaded, endpoints, self._keep)
        except BadIdentity as error:
            raise BadConfiguration([f"agents: {error}"]) from error
        routes = _routes(config, views, endpoints)
        return Snapshot(
            id=_digest(loaded, bundle, catalog, missing, remote),
            config=config,
            identity=identity,
            head_rules=_head_rules(config),
            catalog=catalog,
            bundle=bundle,
            charges=ChargeTable(governance.budgets_of(config)),
            rates=RateRules(governance.rates_of(config)),
            upstreams={
                **{name: one.upstream for name, one in kept.items() if not isinstance(one.upstream, HttpAgent)},
                **bridges_of(config, remote),
            },
            agents=remote,
            agent_routes=routes_of(agent_paths, endpoints),
            toolset_routes=toolset_routes_of(config, routes, endpoints),
            routes=routes,
            validators=self._compiled(catalog),
            embedder=self._embedder(loaded),
            missing=missing,
            infos=infos,
            unlisted=unlisted,
            ttl_ms={name: {kind: one.ttl_ms for kind, one in seen[name].lists.items()} for name in kept},
            findings=(
                *(one.text for one in loaded.findings),
                *findings,
                *drifts_of(remote),
                *(str(one) for one in catalog.findings),
            ),
        )

    def _embedder(self, loaded: Loaded) -> Embedder | None:
        """Return what gives vectors; the one of an unchanged server is used again, with all that it knows."""
        config = loaded.config.search.embeddings
        if config is None:
            self._embedding = None
            return None
        key = loaded.reveal(config.key) if config.key is not None else ""
        server = EmbeddingServer(config.url, config.model, key, config.allow_private, config.timeout_s, config.batch)
        if self._embedding is None or self._embedding.server != server:
            self._embedding = Embedder(server)
        return self._embedding

    def _compiled(self, catalog: Catalog) -> dict[str, Validator]:
        """Return a validator per tool; those of unchanged definitions are used again."""
        by_pin: dict[str, Validator] = {}
        for entry in catalog.entries.values():
            pin = entry.capability.pin
            by_pin[pin] = self._validators.get(pin) or _validator(bytes(entry.input_schema))
        self._validators = by_pin
        return {name: by_pin[entry.capability.pin] for name, entry in catalog.entries.items()}


def _steps_of(kept: Mapping[str, Kept]) -> dict[str, Mapping[str, Sequence[tuple[str, str]]]]:
    """Return what the workflows of each upstream may call."""
    return {name: one.upstream.steps for name, one in kept.items() if isinstance(one.upstream, Workflows)}


def _validator(schema: bytes) -> Validator:
    try:
        return compile_schema(strict_json.parse(schema, max_depth=128))
    except (BadSchema, Refusal) as error:
        return NeverValid(str(error))


def _bundle(sources: Sequence[PolicySource], world: World) -> tuple[PolicyBundle, list[str]]:
    """Return the compiled policies and what is odd about them.

    A policy that names a tool which its upstream no longer has must not stop the gateway: policies are
    first held to the live catalogue, and, should only that fail, to the configuration alone.
    """
    try:
        bundle = compile_bundle(sources, world)
    except PolicyErrors as errors:
        try:
            bundle = compile_bundle(sources, replace(world, known=frozenset(), arguments={}))
        except PolicyErrors as still:
            raise BadConfiguration([str(one) for one in still.errors]) from still
        return bundle.with_world(world), [str(one) for one in errors.errors]
    return bundle, [str(one) for one in bundle.findings]


def _views(config: Config, catalog: Catalog, servers: Sequence[str]) -> dict[str, tuple[str, View]]:
    """Return (route name, view) by path; the first is the default endpoint."""
    views = {"/mcp": ("mcp", catalog.toolsets.get("default") or catalog.everything)}
    views.update({f"/mcp/{name}": (name, catalog.toolsets[name]) for name in config.toolsets})
    views.update({f"/servers/{name}/mcp": (f"servers/{name}", catalog.servers[name]) for name in servers})
    return views


def _head_rules(config: Config) -> HeadRules:
    data = config.listeners.data
    return HeadRules(
        hosts=hosts_of(data.url, data.host, data.port, data.allowed_hosts),
        origins=frozenset({origin_of(data.url), *(one.lower() for one in data.allowed_origins)}),
        max_headers=config.limits.headers,
    )


def _endpoints(loaded: Loaded, paths: Sequence[str]) -> Endpoints:
    issuers = [issuer.issuer for issuer in loaded.config.issuers.values()]
    if loaded.config.token_service.enabled:
        issuers.insert(0, issuer_url(loaded))
    listeners = loaded.config.listeners
    others = (listeners.admin.token_audience,)
    suffix = "/sse" if listeners.data.http_sse else ""
    return Endpoints(listeners.data.url, tuple(paths), SCOPES, tuple(issuers), others, suffix)


def _routes(config: Config, views: Mapping[str, tuple[str, View]], endpoints: Endpoints) -> dict[str, Route]:
    compact = {
        path: one.compact_above
        for name, one in config.toolsets.items()
        for path in ([f"/mcp/{name}", "/mcp"] if name == "default" else [f"/mcp/{name}"])
    }
    return {
        path: Route(
            path,
            name,
            endpoints.url(path),
            endpoints.metadata_url(path),
            view,
            compact.get(path),
            has_code=(of := config.toolsets.get("default" if path == "/mcp" else name)) is not None and of.code,
        )
        for path, (name, view) in views.items()
    }


def _digest(
    loaded: Loaded,
    bundle: PolicyBundle,
    catalog: Catalog,
    missing: Mapping[str, str],
    agents: Mapping[str, RemoteAgent],
) -> str:
    digest = hashlib.sha256(f"{loaded.digest}\n{bundle.stamp}\n".encode())
    for entry in catalog.all():
        digest.update(f"{entry.capability.key} {entry.capability.pin}\n".encode())
    for name, agent in agents.items():
        digest.update(f"{name} {agent.capability.pin} {agent.drift}\n".encode())
    digest.update(repr(sorted(missing.items())).encode())
    return digest.hexdigest()[:16]


def starter_policies() -> str:
    """Return the policies that ship, from the wheel or from a checkout."""
    package = Path(gateway_policies.__file__).parent
    for folder in (package / "bundles", package.parent / "bundles"):
        file = folder / "starter.cedar"
        if file.is_file():
            return file.read_text("utf-8")
    raise BadConfiguration(["policies.starter: the policies that ship with the gateway are not installed"])


# --- what upstreams show -----------------------------------------------------------------------


async def look_at(
    loaded: Loaded,
    name: str,
    upstream: McpUpstream | HttpAgent,
    before: Seen | None,
    pinning: Pinning | None = None,
) -> Seen:
    """Ask one upstream for its lists or its card; what it showed before stays known when it does not answer.

    pinning  what was approved; None shows everything
    """
    config = loaded.config.upstreams[name]
    if isinstance(upstream, HttpAgent):
        itself, shown = service_principal(loaded.config), before.card if before is not None else None
        card = await look_at_agent(upstream, itself, shown, card_keys_of(loaded, name))
        if pinning is not None and isinstance(config, A2aUpstream):
            card = await held_to_pin(pinning, name, config, card, shown)
        info, offered = info_of(loaded.config, name, card), tools_of(loaded.config, name, card)
        seen = Seen(UpstreamCatalog(name, (), ()), card.missing, card=card, lists=offered, info=info)
        return await look_back(loaded, name, seen)
    try:
        async with asyncio.timeout(loaded.config.limits.list_timeout_s + config.connect_timeout_s * 4):
            tools = await upstream.list_items("tools", service_principal(loaded.config))
            others: list[ItemKind] = [kind for kind in KINDS if kind != "tools"]
            looked = await asyncio.gather(*(_look_at_list(loaded, kind, upstream) for kind in others))
            info = await _look_at_info(loaded, upstream) or (before.info if before is not None else None)
    except TimeoutError:
        return _unseen(name, before, "its list did not come in time")
    except Refusal as refusal:
        return _unseen(name, before, refusal.message)
    lists: dict[ItemKind, Listed] = {"tools": tools}
    unlisted: dict[ItemKind, str] = {}
    for kind, found in zip(others, looked, strict=True):
        if isinstance(found, Listed):
            lists[kind] = found
        else:
            unlisted[kind] = found
            lists[kind] = before.lists.get(kind, Listed()) if before is not None else Listed()
    part = before.part if before is not None else UpstreamCatalog(name)
    seen = Seen(part, lists=lists, unlisted=unlisted, info=info, grades=grades_of(upstream))
    return await look_back(loaded, name, seen, pinning)


async def _look_at_list(loaded: Loaded, kind: ItemKind, upstream: McpUpstream) -> Listed | str:
    """Return a list that is not the tools', or why there is none: it must not cost the upstream its tools."""
    try:
        return await upstream.list_items(kind, service_principal(loaded.config))
    except Refusal as refusal:
        return refusal.message


async def _look_at_info(loaded: Loaded, upstream: McpUpstream) -> ServerInfo | None:
    try:
        return await upstream.server_info(service_principal(loaded.config))
    except Refusal:
        return None


async def look_back(loaded: Loaded, name: str, before: Seen, pinning: Pinning | None = None) -> Seen:
    """Return what an upstream showed before, by the rules of another configuration, without asking it again."""
    try:
        return replace(before, part=await _read(loaded, name, before, pinning))
    except Unavailable as refusal:  # what was approved cannot be told: nothing new is shown
        return replace(before, missing=refusal.message)


async def _read(loaded: Loaded, name: str, seen: Seen, pinning: Pinning | None) -> UpstreamCatalog:
    config = loaded.config.upstreams[name]
    rules: dict[ItemKind, Sequence[Rule]] = {
        kind: [
            Rule(pattern, frozenset(rule.tags), rule.risk, rule.read_only, rule.price_micros, rule.hide)
            for pattern, rule in config.rules_for(kind).items()
        ]
        for kind in KINDS
    }
    rules["tools"] = [*seen.grades, *rules["tools"]]
    definitions: dict[ItemKind, Sequence[Raw]] = {kind: one.items for kind, one in seen.lists.items()}
    items = UpstreamItems(name, definitions, frozenset(config.tags), rules)
    part = await asyncio.to_thread(_part_of, items, pinning, config.pinning)
    silent = tuple(Finding(name, "*", f"the list cannot be had: {why}", kind) for kind, why in seen.unlisted.items())
    return replace(part, findings=(*part.findings, *silent))


def _part_of(items: UpstreamItems, pinning: Pinning | None, mode: Mode) -> UpstreamCatalog:
    read = read_lists(items)
    if pinning is None:
        return make_part(items, read)
    withheld, held = pinning.withheld(items.name, read.definitions, mode)
    part = make_part(items, read, withheld)
    return replace(part, findings=(*part.findings, *held))


def card_keys_of(loaded: Loaded, name: str) -> str | None:
    """Return the key set that an agent's card must be signed with, None when signatures do not count."""
    config = loaded.config.upstreams[name]
    path = config.card_keys_path if isinstance(config, A2aUpstream) else None
    return None if path is None else loaded.key_sets[path]


def _unseen(name: str, before: Seen | None, why: str) -> Seen:
    if before is None:
        return Seen(UpstreamCatalog(name, (), ()), why)
    return replace(before, missing=why)


def service_principal(config: Config) -> Principal:
    """Return whom the gateway lists tools as: its own, in the only tenant when there is one."""
    tenant = next(iter(config.tenants)) if len(config.tenants) == 1 else ""
    return Principal(kind="workload", id="agent-gateway", tenant=tenant, issuer="gateway", credential="internal")
