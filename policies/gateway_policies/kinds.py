"""Kinds: what there is to use, as which Cedar type, and by which action.

One table for the whole package: a capability of a kind is an entity of one
type, and using it is one action, whatever the protocol calls it. The
protocol's own word for what is done is the call's `operation`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["tool", "prompt", "resource", "agent", "skill"]
Action = Literal["call", "get", "read", "message", "list", "complete"]
"""What is done. `list` and `complete` are no actions of Cedar's: they ask whether something may be used for some
arguments, `list` at some time, `complete` now and in this operation."""

GROUP: Final = "use"  # the action group that holds every action

TYPE_OF: Final[Mapping[Kind, str]] = MappingProxyType(
    {"tool": "Tool", "prompt": "Prompt", "resource": "Resource", "agent": "RemoteAgent", "skill": "Skill"}
)
ACTION_OF: Final[Mapping[Kind, Action]] = MappingProxyType(
    {"tool": "call", "prompt": "get", "resource": "read", "agent": "message", "skill": "message"}
)
USUAL_OPERATION: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "tool": "tools/call",
        "prompt": "prompts/get",
        "resource": "resources/read",
        "agent": "SendMessage",
        "skill": "SendMessage",
    }
)
"""What an explanation takes for granted when it is not told."""

KIND_OF: Final[Mapping[str, Kind]] = MappingProxyType({name: kind for kind, name in TYPE_OF.items()})
TYPES: Final = frozenset(KIND_OF)
ACTION_OF_TYPE: Final[Mapping[str, Action]] = MappingProxyType({TYPE_OF[kind]: ACTION_OF[kind] for kind in TYPE_OF})
ACTIONS: Final = tuple(dict.fromkeys(ACTION_OF.values()))


def types_of(action: Action) -> list[str]:
    """Return the types on which `action` can be, sorted."""
    return sorted(name for name, of in ACTION_OF_TYPE.items() if of == action)
