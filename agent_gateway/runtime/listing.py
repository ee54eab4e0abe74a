"""What one caller sees at one endpoint: filtered by the rule that decides calls, cached per caller.

What belongs to an upstream that is down is left out, and the list says so.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_gateway.snapshot import Snapshot
from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from mcp_registry.catalog import View, list_page
from mcp_registry.protocol.lists import KINDS, ItemKind
from mcp_registry.protocol.versions import Era

MAX_LISTINGS = 2000
BYTES_PER_TOKEN = 4

_Key = tuple[object, ...]


@dataclass(slots=True)
class Listing:
    """What one caller sees of a kind, in the endpoint's order.

    degraded  which upstreams are missing and why, in public words; empty when none is
    ttl_ms    how long it may be kept: the least of what its upstreams allow
    """

    view: View
    kind: ItemKind
    visible: Sequence[Capability]
    degraded: str
    ttl_ms: int
    _pages: dict[tuple[Era, int, int], tuple[bytes, int | None]] = field(
        default_factory=dict[tuple[Era, int, int], tuple[bytes, int | None]]
    )
    _tokens: int = -1

    def page(self, era: Era, offset: int, size: int) -> tuple[bytes, int | None]:
        """Return one page as a raw JSON array, and where the next begins (None: nowhere)."""
        key = (era, offset, size)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = list_page(self.view, self.kind, self.visible, era, offset=offset, page=size)
        return page

    @property
    def tokens(self) -> int:
        """About how many tokens the list costs a model: a quarter of its bytes."""
        if self._tokens < 0:
            self._tokens = sum(len(self.view.entries[name].modern) for name in self.names) // BYTES_PER_TOKEN
        return self._tokens

    @property
    def names(self) -> tuple[str, ...]:
        """The names shown, in order."""
        return tuple(self.view.shown_name(capability) for capability in self.visible)


class Listings:
    """The listings of one snapshot, remembered by everything they depend on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Listing] = OrderedDict()

    def clear(self) -> None:
        """Forget them all: another snapshot is served."""
        self._kept.clear()

    def get(self, snapshot: Snapshot, principal: Principal, path: str, kind: ItemKind = "tools") -> Listing:
        """Return what `principal` sees at `path`, computing it when something it depends on has changed."""
        route = snapshot.routes[path]
        down = _down(snapshot, route.view)
        key: _Key = (
            snapshot.id, path, kind, down, principal.key, principal.kind, principal.teams, principal.trust,
            principal.scopes, principal.chain, principal.generation,
        )  # fmt: skip
        listing = self._kept.get(key)
        if listing is None:
            listing = self._kept[key] = _make(snapshot, principal, path, kind, down)
            if len(self._kept) > MAX_LISTINGS:
                self._kept.popitem(last=False)
        return listing


def _down(snapshot: Snapshot, view: View) -> tuple[tuple[str, str], ...]:
    """Return (upstream, public reason) of what is missing at an endpoint."""
    names = [view.name] if view.is_native else list(snapshot.upstreams)
    found: list[tuple[str, str]] = []
    for name in names:
        health = snapshot.upstreams[name].health()
        if health.state == "down":
            found.append((name, health.detail or "it does not answer"))
        elif name in snapshot.missing:
            found.append((name, snapshot.missing[name]))
    return tuple(found)


def _make(
    snapshot: Snapshot, principal: Principal, path: str, kind: ItemKind, down: tuple[tuple[str, str], ...]
) -> Listing:
    route = snapshot.routes[path]
    silent = {name for name, _ in down}
    usable = snapshot.bundle.visible(principal, route.view.capabilities_of(kind), route=route.name)
    owners = {capability.upstream for capability in usable}
    # What is hidden from this caller is not told of when it is down either; nothing is known of what was never seen.
    told = [(name, reason) for name, reason in down if name in owners or not _was_seen(snapshot, name)]
    visible = [capability for capability in usable if capability.upstream not in silent] if silent else usable
    allowed = [snapshot.ttl_ms.get(name, {}).get(kind, 0) for name in owners]
    degraded = "; ".join(f"{name}: {reason}" for name, reason in told)
    return Listing(route.view, kind, visible, degraded, 0 if silent else min(allowed, default=0))


def _was_seen(snapshot: Snapshot, upstream: str) -> bool:
    view = snapshot.catalog.servers.get(upstream)
    return view is not None and any(view.of(kind) for kind in KINDS)
