"""What servers list: four kinds of items, each with its method, and how a list says what it holds.

Source: MCP 2026-07-28, server/tools, server/prompts, server/resources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from gateway_policies.kinds import Kind

ItemKind = Literal["tools", "prompts", "resources", "resource_templates"]


@dataclass(frozen=True, slots=True)
class ListShape:
    """One kind of list.

    member      of the result, which holds the items
    identity    of an item, which names it
    declared    the server's capability without which it has none
    capability  what an item is to policies
    """

    kind: ItemKind
    method: str
    member: str
    identity: str
    declared: str
    capability: Kind


LISTS: Final[Mapping[ItemKind, ListShape]] = MappingProxyType(
    {
        shape.kind: shape
        for shape in (
            ListShape("tools", "tools/list", "tools", "name", "tools", "tool"),
            ListShape("prompts", "prompts/list", "prompts", "name", "prompts", "prompt"),
            ListShape("resources", "resources/list", "resources", "uri", "resources", "resource"),
            ListShape(
                "resource_templates",
                "resources/templates/list",
                "resourceTemplates",
                "uriTemplate",
                "resources",
                "resource",
            ),
        )
    }
)
KINDS: Final = tuple(LISTS)
BY_METHOD: Final[Mapping[str, ListShape]] = MappingProxyType({shape.method: shape for shape in LISTS.values()})
