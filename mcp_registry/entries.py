"""Entries: one definition of an upstream, under its public name, in the words of each reader."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from msgspec import Raw

from gateway_policies.call import Capability
from gateway_policies.world import ArgumentKind
from mcp_registry.definitions import Definition
from mcp_registry.protocol import envelope
from mcp_registry.protocol.headers import HeaderParam
from mcp_registry.protocol.legacy_tasks import callable_both_ways
from mcp_registry.protocol.lists import LISTS, ItemKind
from mcp_registry.protocol.results import legacy_tool
from mcp_registry.protocol.versions import Era


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template. To cache by it what is made of its schema, use `capability.pin`.

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
    def kind(self) -> ItemKind:
        return self.definition.kind

    @property
    def input_schema(self) -> Raw:
        return self.definition.input_schema

    @property
    def arguments(self) -> Mapping[str, ArgumentKind]:
        return self.definition.arguments

    @property
    def header_params(self) -> tuple[HeaderParam, ...]:
        return self.definition.header_params


RAW_FOR: Final[Mapping[tuple[Era, bool], str]] = {
    ("modern", False): "modern",
    ("legacy", False): "legacy",
    ("modern", True): "native_modern",
    ("legacy", True): "native_legacy",
}
"""Which member a reader gets, by era and whether the endpoint shows the upstream's own names."""


@dataclass(frozen=True, slots=True)
class Override:
    """What a toolset says in place of the upstream: another name, another description; None leaves it."""

    name: str | None = None
    description: str | None = None


def make_entry(capability: Capability, definition: Definition) -> Entry:
    """Return the entry of a definition under the capability's name."""
    legacy = legacy_tool(definition.raw) if definition.kind == "tools" else definition.raw
    if definition.task_support == "required":  # it is driven for who calls it plainly
        legacy = callable_both_ways(legacy)
    changes = {} if capability.name == definition.native else {LISTS[definition.kind].identity: capability.name}
    return Entry(
        capability=capability,
        definition=definition,
        modern=_edited(definition.raw, changes),
        legacy=_edited(legacy, changes),
        native_modern=bytes(definition.raw),
        native_legacy=bytes(legacy),
    )


def overridden(entry: Entry, override: Override) -> Entry:
    """Return the entry as a toolset shows it; to policies and upstreams it stays what it is."""
    changes = {
        name: value
        for name, value in (("name", override.name), ("description", override.description))
        if value is not None
    }
    return replace(entry, modern=_edited(Raw(entry.modern), changes), legacy=_edited(Raw(entry.legacy), changes))


def _edited(definition: Raw, changes: Mapping[str, str]) -> bytes:
    if not changes:
        return bytes(definition)
    written = {name: envelope.write(value) for name, value in changes.items()}
    return envelope.write(envelope.edit(envelope.read_object(definition), written))
