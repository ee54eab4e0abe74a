"""Importing and approving: what the command line does with the folder of an API.

An import changes nothing that is served. An approval changes what is served, tool by tool.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import msgspec

from agent_gateway.mesh.approved import Made, contract_of, make, remade
from agent_gateway.mesh.folder import ApiFolder, Approval, Approvals
from agent_gateway.mesh.sources import Sources
from context_mesh.openapi.tool import Tool
from gateway_policies.refusal import BadRequest

CURATION = """\
# An Overlay 1.x document, applied before tools are made, or a curation of the tools (context_mesh/README.md):
# curation: 1
# exclude: ["delete_*"]
# tools: {list_pets: {name: pets, arguments: {limit: {fixed: 20}}}}
# overlay: 1.0.0
# info: {title: curation, version: "1"}
# actions:
#   - target: $.paths['/pets'].post
#     update: {x-agw-name: add_pet, x-agw-description: "Adds a pet to the shop."}
#   - target: $.paths['/internal']
#     remove: true
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """One import: its name in the folder, and what it gave."""

    source: str
    made: Made


def import_api(folder: ApiFolder, sources: Sources) -> Imported:
    """Read a description with the folder's curation and keep it as the latest import.

    Raises `BadRequest` for what is no description.
    """
    folder.begin(CURATION)
    approvals = folder.approvals()
    curation, names = folder.curation(), known_names(folder, approvals)
    made = make(sources, curation, names)
    files = {sources.entry: sources.body}
    for path in made.document.files.read:
        body = sources.read(path) if path else None
        if body is not None:
            files[path] = body
    source = folder.keep(sources, files, curation, names)
    changed = msgspec.structs.replace(approvals, latest=source)
    folder.approve(changed)
    folder.sweep(changed)
    return Imported(source, made)


def known_names(folder: ApiFolder, approvals: Approvals) -> dict[str, str]:
    """Return the names of approved tools by operation key: they outlive changes of ids in the description."""
    found: dict[str, str] = {}
    for source in {one.source for one in approvals.tools.values()}:
        for tool in remade(folder.imported(source)).toolbox.tools:
            approval = approvals.tools.get(tool.name)
            if approval is not None and approval.source == source:
                found[tool.operation.key] = tool.name
    return dict(sorted(found.items()))


def latest(folder: ApiFolder) -> Imported:
    """Return the newest import; raises `BadRequest` when there is none."""
    approvals = folder.approvals()
    if not approvals.latest:
        raise BadRequest(f"nothing was imported into `{folder.path.name}`", code="nothing_imported")
    return Imported(approvals.latest, remade(folder.imported(approvals.latest)))


def approve(folder: ApiFolder, wanted: Callable[[Tool], bool], *, withdrawn: Collection[str] = ()) -> list[Tool]:
    """Serve the wanted tools as the latest import has them; return those.

    withdrawn  approved tools that are served no longer
    """
    imported = latest(folder)
    chosen = [tool for tool in imported.made.toolbox.tools if wanted(tool)]
    before = folder.approvals()
    tools = {name: one for name, one in before.tools.items() if name not in withdrawn}
    tools |= {tool.name: Approval(contract_of(tool), imported.source) for tool in chosen}
    changed = Approvals(latest=imported.source, tools=tools)
    folder.approve(changed)
    folder.sweep(changed)
    return chosen
