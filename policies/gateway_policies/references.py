"""References: every entity and argument that a policy names must exist.

A policy about a team that is misspelt never matches, which is silent: a lost
`forbid` lets calls through. So unknown names are mistakes. Of a tool or an
argument we can say so only when the catalogue of its upstream has been seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from cedarpy import pst

from gateway_policies.call import Capability
from gateway_policies.entities import Uid
from gateway_policies.kinds import KIND_OF, TYPE_OF, Kind
from gateway_policies.partial import uid_of
from gateway_policies.reads import Path, Reading, dotted
from gateway_policies.scopes import scope_key, types_in
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
    kind = KIND_OF.get(uid.type)
    if kind is not None:
        return _capability_problem(kind, uid.id, world)
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


def _capability_problem(kind: Kind, name: str, world: World) -> tuple[str, str] | None:
    if (kind, name) in world.capabilities:
        return None
    names = [known for of, known in world.capabilities if of == kind]
    if kind == "resource":  # a URI does not say whose it is
        if not set(world.upstreams) <= world.known:
            return None
        return f"no resource `{name}`", _closest(name, names) or "a resource is named by its URI or URI template"
    if kind == "agent":
        is_unseen = name in world.upstreams and name not in world.known
        return None if is_unseen else (f"no agent `{name}`", _closest(name, names))
    owners = [upstream for upstream in world.upstreams if name.startswith(f"{upstream}__")]
    if not owners:
        return f"no {kind} `{name}`", _closest(name, names) or f"a {kind} is named `{{upstream}}__{{{kind}}}`"
    owner = max(owners, key=len)
    if owner not in world.known:
        return None
    return f"upstream `{owner}` has no {kind} `{name}`", _closest(name, names)


def _closest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean `{close[0]}`?" if close else ""


# --- arguments -----------------------------------------------------------------------------


def check_arguments(
    reading: Reading, kinds: Mapping[Path, ArgumentKind], world: World
) -> tuple[list[PolicyMistake], list[PolicyMistake]]:
    """Return (mistakes, findings) about the arguments that a policy reads.

    A mistake: nothing in scope has the argument, or all that have it have another kind.
    A finding: some have another kind, and calling those is refused.
    """
    mistakes: list[PolicyMistake] = []
    findings: list[PolicyMistake] = []
    capabilities, is_complete = _in_scope(reading.policy, world)
    arguments = [world.arguments[item.key] for item in capabilities if item.key in world.arguments]
    is_complete = is_complete and len(arguments) == len(capabilities)
    only_presence = reading.presence - {path for path, _ in reading.values}
    for path in sorted(reading.paths):
        having = [kind for kind in (_kind_at(known, path) for known in arguments) if kind is not None]
        others = [kind for kind in having if kind not in ("Other", kinds[path])]
        name = dotted(path)
        if not having and is_complete and capabilities:
            known = {other for names in arguments for other in names}
            mistakes.append(
                reading.policy.mistake(
                    f"no {_noun(capabilities)} in scope has an argument `{name}`", _closest(name, known), at=path[-1]
                )
            )
        elif others and path not in only_presence:
            message = f"argument `{name}` is {others[0]} in its schema, and {kinds[path]} in this policy"
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


def _noun(capabilities: Sequence[Capability]) -> str:
    kinds = {item.kind for item in capabilities}
    return kinds.pop() if len(kinds) == 1 else "capability"


def _in_scope(policy: Policy, world: World) -> tuple[list[Capability], bool]:
    """Return the capabilities of which `policy` may speak, and whether there can be no others."""
    _, of, uid = scope_key(policy.tree.resource)
    types = types_in(policy.tree.action)
    if of:
        types &= {of}
    everything = set(world.upstreams) <= world.known
    items = [item for item in world.capabilities.values() if TYPE_OF[item.kind] in types]
    if uid is None:
        return items, everything
    if uid.type == "Upstream":
        return [item for item in items if item.upstream == uid.id], uid.id in world.known
    if uid.type == "Toolset":
        return [item for item in items if uid.id in item.toolsets], everything
    named = [item for item in items if item.name == uid.id and TYPE_OF[item.kind] == uid.type]
    return named, bool(named)
