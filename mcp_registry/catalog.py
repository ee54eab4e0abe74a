"""The catalogue: every tool of every upstream under its public name, and the views that endpoints serve.

Immutable. Built from what upstreams say and what the operator says of it; the
operator's word decides risk, price and reading, never the upstream's. Who may
see what is left to the policies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from gateway_policies.call import Capability
from gateway_policies.world import ArgumentKind
from mcp_registry import names
from mcp_registry.definitions import Definition, Finding, read_definitions
from mcp_registry.protocol import envelope
from mcp_registry.protocol.headers import HeaderParam
from mcp_registry.protocol.results import legacy_tool
from mcp_registry.protocol.versions import Era

MAX_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class ToolRule:
    """What the operator says of an upstream's tools whose own name matches `pattern` (`*`, `?`, `[…]`).

    None leaves a value as earlier rules, or the defaults, have it; tags add up.
    """

    pattern: str
    tags: frozenset[str] = frozenset()
    risk: int | None = None
    read_only: bool | None = None
    price_micros: int | None = None
    is_hidden: bool | None = None


@dataclass(frozen=True, slots=True)
class UpstreamTools:
    """What one upstream offers: its definitions as they came, its tags, the operator's rules in order."""

    name: str
    definitions: Sequence[Raw]
    tags: frozenset[str] = frozenset()
    rules: Sequence[ToolRule] = ()


@dataclass(frozen=True, slots=True)
class Toolset:
    """A choice among all public names: in when one of `include` matches and none of `exclude` does."""

    name: str
    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def holds(self, public_name: str) -> bool:
        return _matches(public_name, self.include) and not _matches(public_name, self.exclude)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool. To cache by it what is made of its schema, use `capability.pin`.

    modern, legacy                raw definition under the public name, per era of the reader
    native_modern, native_legacy  the same under the upstream's own name
    """

    capability: Capability
    definition: Definition
    modern: bytes
    legacy: bytes
    native_modern: bytes
    native_legacy: bytes

    @property
    def input_schema(self) -> Raw:
        return self.definition.input_schema

    @property
    def arguments(self) -> Mapping[str, ArgumentKind]:
        return self.definition.arguments

    @property
    def header_params(self) -> tuple[HeaderParam, ...]:
        return self.definition.header_params


@dataclass(frozen=True, slots=True)
class UpstreamCatalog:
    """One upstream's part, made once and kept until the upstream says something new."""

    name: str
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What one endpoint can show, in the order it shows it.

    entries    by the name that this endpoint uses
    is_native  whether names are the upstream's own: on an endpoint of one upstream
    """

    name: str
    entries: Mapping[str, Entry]
    is_native: bool = False

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return tuple(entry.capability for entry in self.entries.values())

    def find(self, name: str) -> Entry | None:
        """Return the tool that a caller of this endpoint means, or None."""
        return self.entries.get(name)

    def shown_name(self, capability: Capability) -> str:
        return capability.native if self.is_native else capability.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that exists: by public name, per upstream, per toolset."""

    entries: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    servers: Mapping[str, View] = field(default_factory=dict[str, View])
    toolsets: Mapping[str, View] = field(default_factory=dict[str, View])
    findings: tuple[Finding, ...] = ()


# --- building --------------------------------------------------------------------------------


def build(upstreams: Sequence[UpstreamTools], toolsets: Sequence[Toolset]) -> Catalog:
    """Return the catalogue of all upstreams; what is wrong with a definition is in `findings`."""
    return assemble([read_upstream(tools) for tools in upstreams], toolsets)


def read_upstream(tools: UpstreamTools) -> UpstreamCatalog:
    """Return one upstream's part; hidden tools are left out. Raises `ValueError` for its name only."""
    definitions, findings = read_definitions(tools.name, tools.definitions)
    public = names.public_names(tools.name, [definition.native for definition in definitions])
    entries: list[Entry] = []
    for definition in definitions:
        capability = _capability(tools, definition, public[definition.native])
        if capability is not None:
            entries.append(_entry(capability, definition))
    return UpstreamCatalog(tools.name, tuple(entries), findings)


def assemble(parts: Sequence[UpstreamCatalog], toolsets: Sequence[Toolset]) -> Catalog:
    """Return the catalogue of these parts, sorted by public name; cheap when one part is new."""
    sorted_entries = sorted(
        (_in_toolsets(entry, toolsets) for part in parts for entry in part.entries),
        key=lambda entry: entry.capability.name,
    )
    entries = {entry.capability.name: entry for entry in sorted_entries}
    servers: dict[str, dict[str, Entry]] = {part.name: {} for part in parts}
    for entry in sorted_entries:
        servers[entry.capability.upstream][entry.capability.native] = entry
    return Catalog(
        entries=MappingProxyType(entries),
        servers={name: View(name, MappingProxyType(of), is_native=True) for name, of in servers.items()},
        toolsets={toolset.name: _toolset_view(toolset, entries) for toolset in toolsets},
        findings=tuple(finding for part in parts for finding in part.findings),
    )


def _toolset_view(toolset: Toolset, entries: Mapping[str, Entry]) -> View:
    held = {name: entry for name, entry in entries.items() if toolset.name in entry.capability.toolsets}
    return View(toolset.name, MappingProxyType(held))


def _in_toolsets(entry: Entry, toolsets: Sequence[Toolset]) -> Entry:
    held_by = frozenset(toolset.name for toolset in toolsets if toolset.holds(entry.capability.name))
    if held_by == entry.capability.toolsets:
        return entry
    return replace(entry, capability=replace(entry.capability, toolsets=held_by))


def _capability(tools: UpstreamTools, definition: Definition, public: str) -> Capability | None:
    """Return what policies see of a tool, or None when the operator hides it."""
    capability = Capability(name=public, native=definition.native, upstream=tools.name, pin=definition.pin)
    return ruled(capability, ToolRule("*", tags=tools.tags), *tools.rules)


def ruled(capability: Capability, *rules: ToolRule) -> Capability | None:
    """Return a capability with the operator's word on it, or None when the operator hides it."""
    said = ToolRule("*")
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


def _merged(said: ToolRule, rule: ToolRule) -> ToolRule:
    return ToolRule(
        pattern=said.pattern,
        tags=said.tags | rule.tags,
        risk=said.risk if rule.risk is None else rule.risk,
        read_only=said.read_only if rule.read_only is None else rule.read_only,
        price_micros=said.price_micros if rule.price_micros is None else rule.price_micros,
        is_hidden=said.is_hidden if rule.is_hidden is None else rule.is_hidden,
    )


def _entry(capability: Capability, definition: Definition) -> Entry:
    name = envelope.write(capability.name)
    legacy = legacy_tool(definition.raw)
    return Entry(
        capability=capability,
        definition=definition,
        modern=_renamed(definition.raw, name),
        legacy=_renamed(legacy, name),
        native_modern=bytes(definition.raw),
        native_legacy=bytes(legacy),
    )


def _renamed(definition: Raw, name: bytes) -> bytes:
    return envelope.write(envelope.edit(envelope.read_object(definition), {"name": name}))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# --- listing ---------------------------------------------------------------------------------


def tools_list(
    view: View, visible: Sequence[Capability], era: Era, *, offset: int = 0, page: int = MAX_PAGE
) -> tuple[bytes, int | None]:
    """Return one page of visible tools as a raw JSON array, and where the next begins (None: the last page).

    visible  what the policies let this caller see, in the view's order (`view.capabilities` filtered);
             what the view does not hold is left out
    offset   where the page begins among `visible`; sealing it into a cursor is the listener's work
    """
    wanted = visible[offset : offset + page]
    attribute = _ATTRIBUTE[era, view.is_native]
    entries = view.entries
    shown = [
        getattr(entries[name], attribute)
        for name in (capability.native if view.is_native else capability.name for capability in wanted)
        if name in entries
    ]
    following = offset + page
    return b"[" + b",".join(shown) + b"]", following if following < len(visible) else None


_ATTRIBUTE: Final = {
    ("modern", False): "modern",
    ("legacy", False): "legacy",
    ("modern", True): "native_modern",
    ("legacy", True): "native_legacy",
}
