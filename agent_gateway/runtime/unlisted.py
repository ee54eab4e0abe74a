"""Resources that no list and no template names, read all the same: one capability for those of each upstream.

Servers hand out URIs in results (`resource_link`) that they list nowhere. Such a URI goes to the upstream whose it
can only be, as a read of `Resource::"{upstream}:*"` with `context.args.uri`. What is listed, hidden or graded by a rule
of its own is never reached this way, and nothing is where an operator approves each definition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Raw

from agent_gateway.config.root import Config
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.ports import ServerInfo
from agent_gateway.snapshot import Route, Snapshot
from gateway_policies.call import Capability
from gateway_policies.world import World
from mcp_registry import uris
from mcp_registry.catalog import Rule, ruled
from mcp_registry.definitions import Definition
from mcp_registry.entries import Entry, make_entry
from mcp_registry.protocol.inbound import declares
from mcp_registry.routing import Found

ANY: Final = "*"
_NOTHING: Final = Raw(b"{}")


def unlisted_of(config: Config, infos: Mapping[str, ServerInfo]) -> dict[str, Entry]:
    """Return what stands for the unlisted resources of each upstream that has resources, by its name."""
    return {name: entry for name, info in infos.items() for entry in _entry(name, config, info)}


def with_unlisted(world: World, unlisted: Mapping[str, Entry]) -> World:
    """Return the world with these capabilities in it, so that policies can be asked about them."""
    more = {entry.capability.key: entry.capability for entry in unlisted.values()}
    return replace(world, capabilities={**world.capabilities, **more})


def find_unlisted(snapshot: Snapshot, route: Route, uri: str) -> Found | None:
    """Return the unlisted resource that `uri` can only be at this endpoint; None when it may be several, or none.

    An endpoint of one upstream means that one; among all upstreams it is the one that lists others of the scheme,
    or the only one there is. A toolset holds what it names, and nothing besides.
    """
    if not uri or len(uri) > uris.MAX_URI_CHARS or uris.climbs(uri):
        return None
    view = route.view
    if view.is_native:
        names = [view.name] if view.name in snapshot.unlisted else []
    elif view is snapshot.catalog.everything:
        names = list(_of_scheme(snapshot, uri.partition(":")[0]) or snapshot.unlisted)
    else:
        names = []
    if len(names) != 1 or not _is_free(snapshot, names[0], uri):
        return None
    return Found(snapshot.unlisted[names[0]], uri)


def _entry(name: str, config: Config, info: ServerInfo) -> Iterator[Entry]:
    upstream = config.upstreams.get(name)
    if not isinstance(upstream, McpUpstream) or upstream.pinning == "approve":
        return
    if info.capabilities is None or not declares(info.capabilities, "resources"):
        return
    first = Rule(ANY, tags=frozenset(upstream.tags), read_only=True)
    said = upstream.resources.get(ANY)
    rules = [] if said is None else [
        Rule(ANY, frozenset(said.tags), said.risk, said.read_only, said.price_micros, said.hide)
    ]  # fmt: skip
    capability = ruled(Capability(f"{name}:{ANY}", ANY, name, "resource"), first, *rules)
    if capability is not None:
        definition = Definition(ANY, _NOTHING, _NOTHING, {}, (), "", "resources")
        yield make_entry(capability, definition)


def _of_scheme(snapshot: Snapshot, scheme: str) -> set[str]:
    """Return the upstreams with unlisted resources that list some of this scheme."""
    everything = snapshot.catalog.everything
    listed = [*everything.of("resources").values(), *everything.of("resource_templates").values()]
    found = {entry.capability.upstream for entry in listed if entry.capability.native.partition(":")[0] == scheme}
    return found & snapshot.unlisted.keys()


def _is_free(snapshot: Snapshot, upstream: str, uri: str) -> bool:
    """Say whether nothing else is said of this URI: no list has it, no rule of its own grades or hides it."""
    config = snapshot.config.upstreams[upstream]
    is_graded = any(pattern != ANY and fnmatchcase(uri, pattern) for pattern in config.rules_for("resources"))
    return not is_graded and uri not in snapshot.catalog.servers[upstream].router.concrete.get(upstream, ())
