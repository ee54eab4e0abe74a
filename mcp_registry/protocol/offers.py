"""What an endpoint offers: the capabilities of its upstreams, joined, as far as the gateway serves them.

Source: MCP 2026-07-28, basic/discovery; 2025-11-25, basic/lifecycle.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope, legacy_tasks, tasks
from mcp_registry.protocol.envelope import RawObject
from mcp_registry.protocol.versions import Era

MAX_EXTENSIONS: Final = 256
_NEEDS: Final[Mapping[str, str]] = {tasks.EXTENSION: tasks.UPDATE}  # an extension with methods of its own
_SUBSCRIBING: Final[Mapping[Era, str]] = {"legacy": "resources/subscribe", "modern": "subscriptions/listen"}


def join_capabilities(upstreams: Iterable[Raw], era: Era, served: frozenset[str]) -> dict[str, object]:
    """Return the capabilities of an endpoint over `upstreams`, as JSON values and `Raw`.

    upstreams  the capabilities that each declares, raw; what is no object counts as none
    served     the methods of this era that the gateway serves: it declares nothing that it would refuse

    Lists change when policies do, so each says that it tells. An extension that two declare is the first one's.
    """
    upstreams = list(upstreams)
    declared = [_members(raw) for raw in upstreams]
    joined: dict[str, object] = {"tools": {"listChanged": True}}
    if any("prompts" in one for one in declared):
        joined["prompts"] = {"listChanged": True}
    resources = [_members(one["resources"]) for one in declared if "resources" in one]
    if resources:
        can_subscribe = any(bytes(one.get("subscribe", b"")) == b"true" for one in resources)
        is_served = _SUBSCRIBING[era] in served
        joined["resources"] = {"listChanged": True, **({"subscribe": True} if can_subscribe and is_served else {})}
    if any("completions" in one for one in declared):
        joined["completions"] = {}
    if any("logging" in one for one in declared) and (era == "modern" or "logging/setLevel" in served):
        joined["logging"] = {}
    has_tasks = any(legacy_tasks.is_offered(raw) or tasks.is_declared(raw) for raw in map(_as_object, upstreams))
    if has_tasks and era == "legacy" and legacy_tasks.RESULT in served:
        joined["tasks"] = legacy_tasks.OFFERED
    for name in ("extensions", "experimental"):
        found = _first_of_each(declared, name, served)
        if name == "extensions" and has_tasks and tasks.UPDATE in served:
            found.setdefault(tasks.EXTENSION, _NOTHING)
        if found:
            joined[name] = found
    return joined


def _first_of_each(declared: Iterable[RawObject], name: str, served: frozenset[str]) -> RawObject:
    found: RawObject = {}
    for one in declared:
        for key, value in _members(one.get(name, _NOTHING)).items():
            if len(found) < MAX_EXTENSIONS and _NEEDS.get(key, "") in ("", *served):
                found.setdefault(key, value)
    return found


def _as_object(raw: Raw) -> Raw:
    return raw if _members(raw) else _NOTHING


def _members(raw: Raw) -> RawObject:
    try:
        return envelope.read_object(raw)
    except msgspec.DecodeError:
        return {}


_NOTHING: Final = Raw(b"{}")
