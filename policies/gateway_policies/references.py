"""References: every entity and argument that a policy names must exist.

A policy about a team that is misspelt never matches, which is silent: a lost
`forbid` lets calls through. So unknown names are mistakes. Of a tool or an
argument we can say so only when the catalogue of its upstream has been seen.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from cedarpy import pst

from gateway_policies.entities import Uid
from gateway_policies.partial import uid_of
from gateway_policies.reads import Path, Reading, dotted
from gateway_policies.scopes import scope_key
from gateway_policies.sources import Policy, PolicyMistake
from gateway_policies.world import ANY_NAME, ArgumentKind, World

_NOUNS = {
    "Tenant": "tenant",
    "Team": "team",
    "Agent": "agent",
    "Upstream": "upstream",
    "Toolset": "toolset",
}


def named_in(policy: Policy) -> list[Uid]:
    """Return every entity that `policy` names, sorted."""
    return sorted(uid_of(uid) for uid in pst.entity_uids(policy.tree))


def check_names(policy: Policy, world: World) -> Iterator[PolicyMistake]:
    """Yield a mistake for every entity in `policy` that cannot exist in `world`."""
    for uid in named_in(policy):
        problem = _problem(uid, world)
        if problem is not None:
            yield policy.mistake(*problem, at=f'"{uid.id}"')


def _problem(uid: Uid, world: World) -> tuple[str, str] | None:
    if uid.type in _NOUNS:
        names = _names(uid.type, world)
        if uid.id in names:
            return None
        return f"no {_NOUNS[uid.type]} `{uid.id}`", _closest(uid.id, names)
    if uid.type == "Tool":
        return _tool_problem(uid.id, world)
    if uid.type in ("User", "Workload") and "#" not in uid.id:
        return (
            f'`{uid.type}::"{uid.id}"` names nobody',
            f'write `{uid.type}::"{{issuer}}#{{subject}}"`: a subject means something only to its issuer',
        )
    return None  # an action or an unknown type: the schema has its say


def _names(entity_type: str, world: World) -> Iterable[str]:
    return {
        "Tenant": world.tenants,
        "Team": world.teams,
        "Agent": world.agents,
        "Upstream": world.upstreams,
        "Toolset": world.toolsets,
    }[entity_type]


def _tool_problem(name: str, world: World) -> tuple[str, str] | None:
    if name in world.capabilities:
        return None
    owners = [upstream for upstream in world.upstreams if name.startswith(f"{upstream}__")]
    if not owners:
        return f"no tool `{name}`", _closest(name, world.capabilities) or "a tool is named `{upstream}__{tool}`"
    owner = max(owners, key=len)
    if owner not in world.known:
        return None
    return f"upstream `{owner}` has no tool `{name}`", _closest(name, world.capabilities)


def _closest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean `{close[0]}`?" if close else ""


# --- arguments -----------------------------------------------------------------------------


def check_arguments(
    reading: Reading, kinds: Mapping[Path, ArgumentKind], world: World
) -> tuple[list[PolicyMistake], list[PolicyMistake]]:
    """Return (mistakes, findings) about the arguments that a policy reads.

    A mistake: no tool in scope has the argument, or all that have it have another kind.
    A finding: some have another kind, and calling those is refused.
    """
    mistakes: list[PolicyMistake] = []
    findings: list[PolicyMistake] = []
    tools, is_complete = _tools_in_scope(reading.policy, world)
    arguments = [world.arguments[name] for name in tools if name in world.arguments]
    is_complete = is_complete and len(arguments) == len(tools)
    only_presence = reading.presence - {path for path, _ in reading.values}
    for path in sorted(reading.paths):
        having = [kind for kind in (_kind_at(known, path) for known in arguments) if kind is not None]
        others = [kind for kind in having if kind not in ("Other", kinds[path])]
        name = dotted(path)
        if not having and is_complete and tools:
            known = {other for names in arguments for other in names}
            mistakes.append(
                reading.policy.mistake(f"no tool in scope has an argument `{name}`", _closest(name, known), at=path[-1])
            )
        elif others and path not in only_presence:
            message = f"argument `{name}` is {others[0]} in the tool's schema, and {kinds[path]} in this policy"
            where = mistakes if len(others) == len(having) and is_complete else findings
            where.append(reading.policy.mistake(message, "a call with another kind is refused", at=path[-1]))
    return mistakes, findings


def _kind_at(arguments: Mapping[str, ArgumentKind], path: Path) -> ArgumentKind | None:
    """Return the kind of an argument, None when the tool does not have it."""
    kind = arguments.get(dotted(path))
    if kind is not None:
        return kind
    for size in range(len(path)):
        above = arguments.get(dotted(path[:size])) if size else "Record"
        if above == "Other" or ".".join((*path[:size], ANY_NAME)) in arguments:
            return "Other"
    return None


def _tools_in_scope(policy: Policy, world: World) -> tuple[list[str], bool]:
    """Return the tools of which `policy` may speak, and whether there can be no others."""
    _, _, uid = scope_key(policy.tree.resource)
    everything = set(world.upstreams) <= world.known
    tools = world.capabilities.values()
    if uid is None:
        return [tool.name for tool in tools], everything
    if uid.type == "Upstream":
        return [tool.name for tool in tools if tool.upstream == uid.id], uid.id in world.known
    if uid.type == "Toolset":
        return [tool.name for tool in tools if uid.id in tool.toolsets], everything
    return [tool.name for tool in tools if tool.name == uid.id], uid.id in world.capabilities
