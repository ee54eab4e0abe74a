"""Canaries: the held version of an API beside the approved one, as an upstream of its own for some callers.

The sibling serves what is held and nothing else, from a folder of its own, with a copy of the entry. A block of Cedar
text sends callers to the one or the other. It permits nothing: what the policies say of the approved version is said
of the sibling again, and two kinds of `forbid` leave each caller one of the two. This module makes texts and one
folder; writing the texts and recording who wanted it are the command's work (`cli/mesh_canary.py`).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from agent_gateway.config.load import Loaded
from agent_gateway.mesh.approved import contract_of
from agent_gateway.mesh.compare import changes_of
from agent_gateway.mesh.folder import ApiFolder, Approval, Approvals
from agent_gateway.mesh.importing import latest
from agent_gateway.upstreams.openapi import READ_RESULT
from gateway_policies.budgets import matches
from gateway_policies.refusal import BadRequest
from gateway_policies.sources import Policy, PolicySource, parse
from mcp_registry.names import public_names

SUFFIX: Final = "-next"
MAX_CALLERS: Final = 64
MAX_NAME_CHARS: Final = 32
_LITERAL: Final = re.compile(r'//[^\n]*|((?:\w+\s*::\s*)*)"((?:[^"\\]|\\.)*)"')
_ODD: Final = re.compile(r"\\[ux]|::\s*//|//[^\n]*\s+::")  # ways to write a name that `_LITERAL` does not read
_NEGATIONS: Final = re.compile(r"\bunless\b|!|\bif\b|\bfalse\b|\)\s*==|==\s*\(")
_BLOCK: Final = r"\n// canary {name} (\{{[^\n]*\}})\n(?:[^\n]*\n)*?// end of canary {name}\n"


@dataclass(frozen=True, slots=True)
class Canary:
    """One trial.

    of        the API; `name` is the sibling
    since_ms  unix milliseconds
    callers   as policies name them: `Team::"acme/research"`, `Agent::"planner"`
    source    the import that is tried, and `tools`: contracts by the API's own names of tools
    old, new  public names of those tools, and of that which reads answers on, by the API's own
    """

    of: str
    name: str
    since_ms: int
    callers: tuple[str, ...]
    source: str
    tools: Mapping[str, str]
    old: Mapping[str, str]
    new: Mapping[str, str]


def sibling_of(name: str) -> str:
    """Return the name of an API's canary."""
    return f"{name}{SUFFIX}"


def prepared(name: str, folder: ApiFolder, callers: Sequence[str], since_ms: int) -> Canary:
    """Return the canary of all that is held of an API; raises `BadRequest` when nothing is."""
    imported = latest(folder)
    held = {one.tool for one in changes_of(folder, imported) if one.verdict == "hold"}
    made = imported.made.by_name
    tools = {tool: contract_of(made[tool]) for tool in sorted(held) if tool in made}
    if not tools:
        raise BadRequest(
            f"no version of `{name}` is held", code="nothing_held", hint=f"`agent-gateway mesh diff {name}` looks again"
        )
    if len(sibling_of(name)) > MAX_NAME_CHARS:
        raise BadRequest(f"`{sibling_of(name)}` is longer than a name may be", code="no_name")
    old = public_names(name, [*sorted(folder.approvals().tools), READ_RESULT])
    new = public_names(sibling_of(name), [*tools, READ_RESULT])
    named = {tool: old[tool] for tool in (*tools, READ_RESULT)}, new
    callers = tuple(dict.fromkeys(callers))
    return Canary(name, sibling_of(name), since_ms, callers, imported.source, tools, *named)


def keep(canary: Canary, folder: ApiFolder, sibling: ApiFolder) -> None:
    """Copy the import that is tried into the sibling's folder, with exactly its held tools approved."""
    kept = folder.imported(canary.source)
    sibling.begin(kept.curation.decode())
    source = sibling.keep(kept.sources, kept.files, kept.curation, kept.about.names)
    tools = {tool: Approval(contract, source) for tool, contract in canary.tools.items()}
    sibling.approve(Approvals(latest=source, tools=tools))


# --- what must hold for the sibling as it does for the approved version -----------------------


def check_reach(canary: Canary, loaded: Loaded) -> None:
    """Raise `BadRequest` when a toolset or limit takes in one of the two versions only.

    Such a canary would be seen where the approved version is not, or be spent on without the limit.
    """
    config = loaded.config
    pairs = [(old, canary.new[tool]) for tool, old in canary.old.items()]
    for name, toolset in config.toolsets.items():
        for patterns in (toolset.include, toolset.exclude, tuple(toolset.tools)):
            for old, new in pairs:
                if _names(patterns, old) != _names(patterns, new):
                    raise _differs(f"toolset `{name}`", old, new, "name the other beside it")
    for limits in (config.budgets, config.rates):
        reach = {
            limit.name: (limit.scope, limit.match.rpartition("/")[2].removeprefix("tool:"))
            for limit in limits
            if limit.scope in ("capability", "edge")
        }
        for name, (scope, match) in reach.items():
            others = [other for kind, other in reach.values() if kind == scope]
            for old, new in [(canary.of, canary.name)] if scope == "edge" else pairs:
                is_split = any(matches(one, new) and not matches(one, old) for one in others)
                if matches(match, old) and not matches(match, new) and not is_split:
                    raise _differs(f"`{name}`", old, new, "add one for the other, or let it match both")


def _names(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _differs(where: str, old: str, new: str, hint: str) -> BadRequest:
    return BadRequest(f"{where} takes in one of `{old}` and `{new}` only", code="canary_differs", hint=hint)


# --- the policies -----------------------------------------------------------------------------


def block(canary: Canary, sources: Sequence[PolicySource]) -> str:
    """Return the Cedar text of a canary; raises `BadRequest` for policies that cannot be said again of the sibling.

    sources  every policy file in force
    """
    told = json.dumps(asdict(canary), sort_keys=True)
    who = " || ".join(f"principal in {caller}" for caller in canary.callers)
    own = [
        f'@id("canary/{canary.name}/others")\n'
        f'forbid (principal, action, resource in Upstream::"{canary.name}")\nunless {{ {who} }};\n',
        *(
            f'@id("canary/{canary.name}/approved/{at}")\n'
            f'forbid (principal, action, resource == Tool::"{canary.old[tool]}")\nwhen {{ {who} }};\n'
            for at, tool in enumerate(canary.tools, 1)
        ),
    ]
    policies, _ = parse(sources)
    again = [text for policy in policies if (text := _again(canary, policy)) is not None]
    rules = "".join((*own, *_numbered(canary, again)))
    return f"\n// canary {canary.name} {told}\n{rules}// end of canary {canary.name}\n"


def _numbered(canary: Canary, texts: Sequence[str]) -> Iterator[str]:
    for at, text in enumerate(texts, 1):
        yield f'@id("canary/{canary.name}/rule/{at}")\n{text}\n'


def _again(canary: Canary, policy: Policy) -> str | None:
    """Return a policy with the sibling in place of the approved version, None when it does not speak of that one."""
    if _ODD.search(policy.text):
        raise BadRequest(
            f"the policy at {policy.place} may write a name with an escape, or with a comment inside",
            code="canary_differs",
            hint="write names plainly",
        )
    text = re.sub(r'@id\s*\(\s*"(?:[^"\\]|\\.)*"\s*\)\s*', "", policy.text)
    changed = _LITERAL.sub(lambda found: _renamed(canary, policy, found), text)
    if changed == text:
        return None
    head = text.find("{")
    speaks_in_conditions = head >= 0 and not changed.endswith(text[head:])
    if policy.effect == "permit" and speaks_in_conditions and _NEGATIONS.search(text):
        raise BadRequest(
            f"the policy at {policy.place} permits by what is not `{canary.of}`, which a canary cannot repeat",
            code="canary_differs",
            hint="name the upstream or its tools in the policy's head, or leave `unless` and `!` out",
        )
    return f'{changed.rstrip()[:-1]}\nwhen {{ resource in Upstream::"{canary.name}" }};'


def _renamed(canary: Canary, policy: Policy, found: re.Match[str]) -> str:
    before, value = found.group(1), found.group(2)
    if value is None:
        return found.group()  # a comment
    kind = before.split("::")[0].strip() if before else ""
    if kind == "Upstream":
        renamed = canary.name if value == canary.of else value
    elif kind == "Tool":
        renamed = next((canary.new[tool] for tool, name in canary.old.items() if name == value), value)
    elif not kind:
        renamed = _renamed_text(canary, value)
        _check_pattern(canary, policy, value, renamed)
    else:
        renamed = value
    return f'{before}"{renamed}"'


def _renamed_text(canary: Canary, value: str) -> str:
    if value == f"servers/{canary.of}":
        return f"servers/{canary.name}"
    for tool, name in canary.old.items():
        if value == name:
            return canary.new[tool]
    prefix = f"{canary.of}__"
    return f"{canary.name}__{value.removeprefix(prefix)}" if value.startswith(prefix) and "*" in value else value


def _check_pattern(canary: Canary, policy: Policy, value: str, renamed: str) -> None:
    """Raise `BadRequest` for a pattern that, as it is or renamed, does not take in what it took in."""
    if "*" not in value:
        return
    pairs = [(old, canary.new[tool]) for tool, old in canary.old.items()]
    for old, new in (*pairs, (f"servers/{canary.of}", f"servers/{canary.name}")):
        if matches(value, old) != (matches(value, new) or matches(renamed, new)):
            raise _differs(f"`{value}` at {policy.place}", old, new, "let the pattern match both, or neither")


def find(text: str, name: str) -> Canary | None:
    """Return the canary called `name` whose block is in a policy file, None when there is none."""
    found = _block(name).search(text)
    if found is None:
        return None
    try:
        canary = msgspec.json.decode(found.group(1), type=Canary)
    except msgspec.DecodeError:
        canary = None
    if canary is None or canary.name != name:
        raise BadRequest(f"the block of `{name}` was changed", hint="remove it, and the upstream, by hand")
    return canary


def without_block(text: str, name: str) -> str:
    """Return a policy file without the block of a canary, and every other byte as it is."""
    return _block(name).sub("", text, count=1)


def _block(name: str) -> re.Pattern[str]:
    return re.compile(_BLOCK.format(name=re.escape(name)))
