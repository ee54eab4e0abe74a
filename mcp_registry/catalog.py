"""The catalogue: what every upstream offers, under public names, and the views that endpoints serve.

Immutable. Built from what upstreams say and what the operator says of it; the
operator's word decides risk, price and reading, never the upstream's. Who may
see what is left to the policies.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from gateway_policies.call import Capability, CapabilityKey
from mcp_registry import names, uris
from mcp_registry.definitions import Definition, Finding, read_definitions
from mcp_registry.entries import RAW_FOR, Entry, Override, make_entry, overridden
from mcp_registry.protocol.lists import KINDS, LISTS, ItemKind
from mcp_registry.protocol.versions import Era
from mcp_registry.routing import Router, make_router

MAX_PAGE: Final = 10_000

Entries = Mapping[str, Entry]
_NONE: Final[Entries] = MappingProxyType({})
_NAMED: Final[tuple[ItemKind, ItemKind]] = ("tools", "prompts")  # what has a name, not a URI


@dataclass(frozen=True, slots=True)
class Rule:
    """What the operator says of an upstream's items whose own name matches `pattern` (`*`, `?`, `[…]`).

    None leaves a value as earlier rules, or the defaults, have it; tags add up.
    """

    pattern: str
    tags: frozenset[str] = frozenset()
    risk: int | None = None
    read_only: bool | None = None
    price_micros: int | None = None
    is_hidden: bool | None = None


@dataclass(frozen=True, slots=True)
class UpstreamItems:
    """What one upstream offers: its definitions as they came, its tags, the operator's rules in order."""

    name: str
    definitions: Mapping[ItemKind, Sequence[Raw]]
    tags: frozenset[str] = frozenset()
    rules: Mapping[ItemKind, Sequence[Rule]] = field(default_factory=dict[ItemKind, Sequence[Rule]])


@dataclass(frozen=True, slots=True)
class Toolset:
    """A choice among all public names: in when one of `include` matches and none of `exclude` does.

    include               of tools
    prompts, resources    likewise, of prompts, and of resources and templates by URI; none unless named
    overrides             by public name of a tool or prompt
    """

    name: str
    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    prompts: Sequence[str] = ()
    resources: Sequence[str] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict[str, Override])

    def holds(self, entry: Entry) -> bool:
        included = {"tools": self.include, "prompts": self.prompts}.get(entry.kind, self.resources)
        return self.names(entry.capability.name, included)

    def names(self, public_name: str, included: Sequence[str] | None = None) -> bool:
        """Say whether `included` (default: the tools') takes a name in, and `exclude` not out."""
        taken = self.include if included is None else included
        return _matches(public_name, taken) and not _matches(public_name, self.exclude)


@dataclass(frozen=True, slots=True)
class UpstreamCatalog:
    """One upstream's part, made once and kept until the upstream says something new.

    concrete  every URI that it lists, those that are hidden too
    """

    name: str
    entries: tuple[Entry, ...] = ()
    findings: tuple[Finding, ...] = ()
    concrete: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """What one endpoint can show, in the order it shows it.

    entries    the tools, by the name that this endpoint uses
    others     prompts, resources and templates, likewise
    is_native  whether names are the upstream's own: on an endpoint of one upstream
    renamed    by public name, what this endpoint calls a tool or prompt, where that is something else
    """

    name: str
    entries: Entries = _NONE
    others: Mapping[ItemKind, Entries] = field(default_factory=dict[ItemKind, Entries])
    is_native: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    router: Router = field(default_factory=Router)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return self.capabilities_of("tools")

    def of(self, kind: ItemKind) -> Entries:
        """Return what there is of a kind, by the names used here."""
        return self.entries if kind == "tools" else self.others.get(kind, _NONE)

    def capabilities_of(self, kind: ItemKind) -> tuple[Capability, ...]:
        return tuple(entry.capability for entry in self.of(kind).values())

    def find(self, name: str) -> Entry | None:
        """Return the tool that a caller of this endpoint means, or None."""
        return self.entries.get(name)

    def shown_name(self, capability: Capability) -> str:
        if self.is_native:
            return capability.native
        return self.renamed.get(capability.name, capability.name) if self.renamed else capability.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that exists: by public name, per upstream, per toolset.

    everything  the view of all upstreams; `entries` are its tools
    """

    everything: View = field(default_factory=lambda: View("mcp"))
    servers: Mapping[str, View] = field(default_factory=dict[str, View])
    toolsets: Mapping[str, View] = field(default_factory=dict[str, View])
    findings: tuple[Finding, ...] = ()

    @property
    def entries(self) -> Entries:
        return self.everything.entries

    def all(self) -> Iterator[Entry]:
        """Yield every entry: tools, prompts, resources, templates."""
        for kind in KINDS:
            yield from self.everything.of(kind).values()

    def find(self, key: CapabilityKey) -> Entry | None:
        """Return the entry of a capability, or None."""
        kind, name = key
        views = (self.everything.of(shape.kind) for shape in LISTS.values() if shape.capability == kind)
        return next((entries[name] for entries in views if name in entries), None)


# --- building --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """The usable definitions of one upstream's lists, and what is wrong with the others."""

    definitions: Mapping[ItemKind, tuple[Definition, ...]]
    findings: tuple[Finding, ...]


def build(upstreams: Sequence[UpstreamItems], toolsets: Sequence[Toolset]) -> Catalog:
    """Return the catalogue of all upstreams; what is wrong with a definition is in `findings`."""
    return assemble([read_upstream(items) for items in upstreams], toolsets)


def read_upstream(items: UpstreamItems) -> UpstreamCatalog:
    """Return one upstream's part; hidden items are left out. Raises `ValueError` for its name only."""
    return make_part(items, read_lists(items))


def read_lists(items: UpstreamItems) -> Read:
    """Return what is usable of an upstream's lists."""
    found: dict[ItemKind, tuple[tuple[Definition, ...], tuple[Finding, ...]]] = {
        kind: read_definitions(items.name, items.definitions.get(kind, ()), kind) for kind in KINDS
    }
    findings = tuple(finding for _, wrong in found.values() for finding in wrong)
    return Read({kind: definitions for kind, (definitions, _) in found.items()}, findings)


def make_part(
    items: UpstreamItems, read: Read, withheld: Mapping[ItemKind, Collection[str]] | None = None
) -> UpstreamCatalog:
    """Return one upstream's part of the catalogue.

    withheld  names that are not to be shown. They keep their place all the same: no other takes a public
              name for one of them gone, and no template reaches a resource that is withheld
    """
    entries: list[Entry] = []
    findings = list(read.findings)
    concrete: set[str] = set()
    for kind in KINDS:
        definitions, hidden = read.definitions[kind], (withheld or {}).get(kind, ())
        natives = [definition.native for definition in definitions]
        has_name = LISTS[kind].identity == "name"
        public = names.public_names(items.name, natives) if has_name else {native: native for native in natives}
        for definition in definitions:
            if kind == "resource_templates" and definition.native in concrete:
                findings.append(Finding(items.name, definition.native, "a resource has this URI", kind))
                continue
            capability = _capability(items, definition, public[definition.native])
            if capability is not None and definition.native not in hidden:
                entries.append(make_entry(capability, definition))
        if kind == "resources":
            concrete.update(natives)
    return UpstreamCatalog(items.name, tuple(entries), tuple(findings), frozenset(concrete))


def assemble(parts: Sequence[UpstreamCatalog], toolsets: Sequence[Toolset]) -> Catalog:
    """Return the catalogue of these parts, sorted by public name; cheap when one part is new.

    Of parts that have the same URI the first keeps it.
    """
    findings = [finding for part in parts for finding in part.findings]
    chosen = [_in_toolsets(entry, toolsets) for entry in _told_apart(parts, findings)]
    chosen.sort(key=lambda entry: entry.capability.name)
    concrete = {part.name: part.concrete for part in parts}
    of: dict[str, list[Entry]] = {part.name: [] for part in parts}
    for entry in chosen:
        of[entry.capability.upstream].append(entry)
    servers = {name: _view(name, entries, concrete, native=True) for name, entries in of.items()}
    views = {toolset.name: _toolset_view(toolset, chosen, concrete, findings) for toolset in toolsets}
    return Catalog(_view("mcp", chosen, concrete), servers, views, tuple(findings))


def _told_apart(parts: Sequence[UpstreamCatalog], findings: list[Finding]) -> Iterator[Entry]:
    """Yield every entry; a URI that an earlier part has is put below a prefix of its upstream."""
    owners: dict[str, str] = {}
    for part in parts:
        for entry in part.entries:
            if LISTS[entry.kind].capability != "resource":
                yield entry
                continue
            uri = entry.capability.name
            owner = owners.setdefault(uri, part.name)
            if owner == part.name:
                yield entry
                continue
            shown = uris.prefixed(part.name, uri)
            what = f"`{owner}` has this URI too; here it is shown as `{shown}`"
            findings.append(Finding(part.name, uri, what, entry.kind))
            yield make_entry(replace(entry.capability, name=shown), entry.definition)


def _view(name: str, entries: Sequence[Entry], concrete: Mapping[str, frozenset[str]], *, native: bool = False) -> View:
    by_kind: dict[ItemKind, dict[str, Entry]] = {kind: {} for kind in KINDS}
    for entry in entries:
        by_kind[entry.kind][entry.capability.native if native else entry.capability.name] = entry
    others: dict[ItemKind, Entries] = {
        kind: MappingProxyType(of) for kind, of in by_kind.items() if of and kind != "tools"
    }
    router = make_router(by_kind["resources"], by_kind["resource_templates"], concrete)
    return View(name, MappingProxyType(by_kind["tools"]), others, is_native=native, router=router)


def _toolset_view(
    toolset: Toolset, chosen: Sequence[Entry], concrete: Mapping[str, frozenset[str]], findings: list[Finding]
) -> View:
    view = _view(toolset.name, [one for one in chosen if toolset.name in one.capability.toolsets], concrete)
    owners = {name: entry.capability.upstream for kind in _NAMED for name, entry in view.of(kind).items()}
    overrides = {name: over for name, over in toolset.overrides.items() if name in owners}
    if not overrides:
        return view
    names_here = {public: over.name for public, over in overrides.items() if over.name not in (None, public)}
    renamed = {public: name for public, name in names_here.items() if name}
    for kind in _NAMED:
        renamed = _without_clashes(renamed, view.of(kind))
    for public in sorted(names_here.keys() - renamed.keys()):
        what = f"toolset `{toolset.name}` has another `{names_here[public]}`; this one keeps its name there"
        findings.append(Finding(owners[public], public, what))
    tools, prompts = (_renamed(view.of(kind), overrides, renamed) for kind in _NAMED)
    others = {**view.others, "prompts": prompts} if prompts else view.others
    return replace(view, entries=tools, others=others, renamed=renamed)


def _renamed(entries: Entries, overrides: Mapping[str, Override], renamed: Mapping[str, str]) -> Entries:
    """Return entries as a toolset shows them, in the order of the names there."""
    shown = {
        renamed.get(public, public): overridden(entry, replace(overrides[public], name=renamed.get(public)))
        if public in overrides
        else entry
        for public, entry in entries.items()
    }
    return MappingProxyType(dict(sorted(shown.items())))


def _without_clashes(renamed: Mapping[str, str], publics: Collection[str]) -> dict[str, str]:
    """Return the new names that meet no other: a public name stays its owner's, else the first claim counts.

    publics  all of one kind; new names of what is not among them are kept
    """
    left = dict(renamed)
    while True:
        claimed: dict[str, str] = {public: public for public in publics if public not in left}
        here = sorted((public, name) for public, name in left.items() if public in publics)
        clashing = [public for public, name in here if claimed.setdefault(name, public) != public]
        if not clashing:
            return left
        for public in clashing:
            del left[public]


def _in_toolsets(entry: Entry, toolsets: Sequence[Toolset]) -> Entry:
    held_by = frozenset(toolset.name for toolset in toolsets if toolset.holds(entry))
    if held_by == entry.capability.toolsets:
        return entry
    return replace(entry, capability=replace(entry.capability, toolsets=held_by))


def _capability(items: UpstreamItems, definition: Definition, public: str) -> Capability | None:
    """Return what policies see of an item, or None when the operator hides it."""
    kind = definition.kind
    first = Rule(
        "*", tags=items.tags, read_only=None if kind == "tools" else True
    )  # the protocol lets others only read
    capability = Capability(
        name=public,
        native=definition.native,
        upstream=items.name,
        kind=LISTS[kind].capability,
        pin=definition.pin,
    )
    return ruled(capability, first, *items.rules.get(kind, ()))


def ruled(capability: Capability, *rules: Rule) -> Capability | None:
    """Return a capability with the operator's word on it, or None when the operator hides it."""
    said = Rule("*")
    for rule in rules:
        if fnmatchcase(capability.native, rule.pattern):
            said = _merged(said, rule)
    if said.is_hidden:
        return None
    return replace(
        capability,
        tags=said.tags,
        risk=capability.risk if said.risk is None else said.risk,
        read_only=capability.read_only if said.read_only is None else said.read_only,
        price_micros=capability.price_micros if said.price_micros is None else said.price_micros,
    )


def _merged(said: Rule, rule: Rule) -> Rule:
    return Rule(
        pattern=said.pattern,
        tags=said.tags | rule.tags,
        risk=said.risk if rule.risk is None else rule.risk,
        read_only=said.read_only if rule.read_only is None else rule.read_only,
        price_micros=said.price_micros if rule.price_micros is None else rule.price_micros,
        is_hidden=said.is_hidden if rule.is_hidden is None else rule.is_hidden,
    )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# --- listing ---------------------------------------------------------------------------------


def list_page(
    view: View, kind: ItemKind, visible: Sequence[Capability], era: Era, *, offset: int = 0, page: int = MAX_PAGE
) -> tuple[bytes, int | None]:
    """Return one page of visible items as a raw JSON array, and where the next begins (None: the last page).

    visible  what the policies let this caller see, in the view's order (`view.capabilities_of(kind)` filtered);
             what the view does not hold is left out
    offset   where the page begins among `visible`; sealing it into a cursor is the listener's work
    """
    wanted = visible[offset : offset + page]
    entries, attribute = view.of(kind), RAW_FOR[era, view.is_native]
    shown = [getattr(entries[name], attribute) for name in map(view.shown_name, wanted) if name in entries]
    following = offset + page
    return b"[" + b",".join(shown) + b"]", following if following < len(visible) else None
