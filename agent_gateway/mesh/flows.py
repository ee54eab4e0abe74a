"""Workflows of Arazzo descriptions in their folders: read, bound to the approved tools of APIs, approved.

The folder is that of an API, with the same files; what is approved is each workflow by its contract.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec

from agent_gateway.mesh.compare import Change
from agent_gateway.mesh.folder import ApiFolder, Approval, Approvals, Import
from agent_gateway.mesh.sources import Sources
from context_mesh.arazzo.binding import Apis, Flows, bind
from context_mesh.arazzo.composites import Composite, composites
from context_mesh.arazzo.load import is_workflows, load
from context_mesh.openapi.model import Finding
from context_mesh.openapi.parse import parse
from gateway_policies.refusal import BadRequest


@dataclass(frozen=True, slots=True)
class MadeFlows:
    """One import, read and bound."""

    flows: Flows
    composites: tuple[Composite, ...]
    findings: tuple[Finding, ...]

    @property
    def by_name(self) -> Mapping[str, Composite]:
        return {one.name: one for one in self.composites}


@dataclass(frozen=True, slots=True)
class ApprovedFlows:
    """What is served, each with the description that it is from, and sentences about what is not."""

    served: tuple[tuple[Composite, Flows], ...] = ()
    findings: tuple[str, ...] = ()
    instructions: str = ""


def are_workflows(sources: Sources) -> bool:
    """Say whether a description is one of workflows; what cannot be read is none."""
    if b"arazzo" not in sources.body[:4096]:
        return False
    try:
        return is_workflows(parse(sources.body, sources.entry))
    except BadRequest:
        return False


def make_flows(sources: Sources, apis: Apis, names: Mapping[str, str]) -> MadeFlows:
    """Return the workflows of a description; raises `BadRequest` like `load`."""
    flows = bind(load(sources.body, name=sources.entry, read=sources.read), apis)
    made, findings = composites(flows, names)
    return MadeFlows(flows, made, flows.findings + findings)


def import_flows(folder: ApiFolder, sources: Sources, apis: Apis) -> tuple[str, MadeFlows]:
    """Read a description and keep it as the latest import; return its name in the folder and what it gave."""
    folder.path.mkdir(parents=True, exist_ok=True)
    approvals = folder.approvals()
    names = _known_names(folder, approvals, apis)
    made = make_flows(sources, apis, names)
    files = {sources.entry: sources.body}
    for path in made.flows.description.files.read:
        body = sources.read(path) if path else None
        if body is not None:
            files[path] = body
    source = folder.keep(sources, files, b"", names)
    changed = msgspec.structs.replace(approvals, latest=source)
    folder.approve(changed)
    folder.sweep(changed)
    return source, made


def latest_flows(folder: ApiFolder, apis: Apis) -> tuple[str, MadeFlows]:
    """Return the newest import; raises `BadRequest` when there is none."""
    approvals = folder.approvals()
    if not approvals.latest:
        raise BadRequest(f"nothing was imported into `{folder.path.name}`", code="nothing_imported")
    return approvals.latest, _remade(folder.imported(approvals.latest), apis)


def approve_flows(
    folder: ApiFolder, apis: Apis, wanted: Callable[[Composite], bool], *, withdrawn: Collection[str] = ()
) -> list[Composite]:
    """Serve the wanted workflows as the latest import has them; return those."""
    source, made = latest_flows(folder, apis)
    chosen = [one for one in made.composites if wanted(one)]
    tools = {name: one for name, one in folder.approvals().tools.items() if name not in withdrawn}
    tools |= {one.name: Approval(one.contract, source) for one in chosen}
    changed = Approvals(latest=source, tools=tools)
    folder.approve(changed)
    folder.sweep(changed)
    return chosen


def changed_flows(folder: ApiFolder, apis: Apis) -> list[Change]:
    """Return what an approval of the latest import would change: any other contract is held."""
    _, made = latest_flows(folder, apis)
    before = folder.approvals().tools
    changes = [Change(name, "withdraw", ("no longer there",)) for name in before.keys() - made.by_name.keys()]
    for one in made.composites:
        calls = tuple(f"calls {step.source}: {step.tool.operation.key}" for step in one.steps)
        if one.name not in before:
            changes.append(Change(one.name, "new", calls))
        elif before[one.name].contract != one.contract:
            changes.append(Change(one.name, "hold", ("another workflow than was approved", *calls)))
    return sorted(changes, key=lambda one: one.tool)


def approved_flows(folder: ApiFolder, apis: Apis) -> ApprovedFlows:
    """Return what is served. Raises `BadRequest` when the folder was tampered with."""
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, approval in folder.approvals().tools.items():
        wanted[approval.source][name] = approval.contract
    served: list[tuple[Composite, Flows]] = []
    findings: list[str] = []
    instructions = ""
    for source, contracts in sorted(wanted.items()):
        made = _remade(folder.imported(source), apis)
        for name, contract in contracts.items():
            one = made.by_name.get(name)
            if one is None or one.contract != contract:
                findings.append(f"`{name}` is not as it was approved, or a step of it is not served any more")
            else:
                served.append((one, made.flows))
        instructions = made.flows.description.title
    served.sort(key=lambda pair: pair[0].name)
    return ApprovedFlows(tuple(served), tuple(findings), instructions)


def _remade(kept: Import, apis: Apis) -> MadeFlows:
    return make_flows(kept.sources, apis, kept.about.names)


def _known_names(folder: ApiFolder, approvals: Approvals, apis: Apis) -> dict[str, str]:
    """Return the names of approved workflows by their ids."""
    found: dict[str, str] = {}
    for source in {one.source for one in approvals.tools.values()}:
        for one in _remade(folder.imported(source), apis).composites:
            approval = approvals.tools.get(one.name)
            if approval is not None and approval.source == source:
                found[one.key] = one.name
    return dict(sorted(found.items()))
