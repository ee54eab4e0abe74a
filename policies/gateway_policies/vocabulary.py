"""The vocabulary: the Cedar schema that every policy is checked against.

Fixed, but for the record of arguments, which holds what the policies read
(`reads.infer_kinds`). Every argument is optional: a policy tests `has` first.
"""

import json
from collections.abc import Mapping
from typing import Any

import cedarpy

from gateway_policies.reads import Path
from gateway_policies.world import ArgumentKind

_LONG: Mapping[str, Any] = {"type": "Long"}
_STRING: Mapping[str, Any] = {"type": "String"}
_BOOL: Mapping[str, Any] = {"type": "Boolean"}
_STRINGS: Mapping[str, Any] = {"type": "Set", "element": {"type": "String"}}
_TYPES: Mapping[ArgumentKind, Mapping[str, Any]] = {
    "Long": _LONG,
    "String": _STRING,
    "Bool": _BOOL,
    "Set<String>": _STRINGS,
}


def schema_json(kinds: Mapping[Path, ArgumentKind]) -> str:
    """Return the schema in Cedar's JSON format; equal kinds give equal text.

    kinds  every argument path with its kind; a path's own prefixes are records
    """
    tenant = _entity("Tenant")
    principal = {
        "memberOfTypes": ["Team", "Tenant"],
        "shape": _record({"tenant": tenant, "trust": _LONG, "scopes": _STRINGS, "issuer": _STRING}),
    }
    tool = {
        "name": _STRING,
        "native": _STRING,
        "upstream": _entity("Upstream"),
        "tags": _STRINGS,
        "risk": _LONG,
        "read_only": _BOOL,
        "price_micros": _LONG,
    }
    context = {
        "args": _arguments(kinds),
        "now": _record({"hour": _LONG, "weekday": _LONG, "unix": _LONG}),
        "route": _STRING,
        "chain_depth": _LONG,
    }
    call = {
        "memberOf": [{"id": "use"}],
        "appliesTo": {
            "principalTypes": ["Agent", "User", "Workload"],
            "resourceTypes": ["Tool"],
            "context": _record(context),
        },
    }
    entity_types = {
        "Tenant": {},
        "Team": {"memberOfTypes": ["Tenant"]},
        "Agent": principal,
        "User": principal,
        "Workload": principal,
        "Upstream": {"shape": _record({"tags": _STRINGS})},
        "Toolset": {},
        "Tool": {"memberOfTypes": ["Upstream", "Toolset"], "shape": _record(tool)},
    }
    return json.dumps({"": {"entityTypes": entity_types, "actions": {"use": {}, "call": call}}}, sort_keys=True)


def schema_text(kinds: Mapping[Path, ArgumentKind]) -> str:
    """Return the schema in Cedar's own notation, for people and editors."""
    return str(cedarpy.Schema.from_json_str(schema_json(kinds)))


def _entity(name: str) -> Mapping[str, Any]:
    return {"type": "Entity", "name": name}


def _record(attributes: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"type": "Record", "attributes": attributes}


def _arguments(kinds: Mapping[Path, ArgumentKind]) -> dict[str, Any]:
    root: dict[str, Any] = {"type": "Record", "attributes": {}}
    for path in sorted(kinds):
        node = root
        for name in path[:-1]:
            node = node["attributes"][name]
        member: dict[str, Any] = {"type": "Record", "attributes": {}}
        node["attributes"][path[-1]] = {**_TYPES.get(kinds[path], member), "required": False}
    return root
