"""Comparing the latest import of an API with what is approved, tool by tool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent_gateway.mesh.approved import contract_of, remade
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import Imported
from context_mesh.openapi.tool import Tool

Verdict = Literal["new", "quiet", "notify", "hold", "withdraw"]


@dataclass(frozen=True, slots=True)
class Change:
    """What an approval would change about one tool, in words."""

    tool: str
    verdict: Verdict
    what: tuple[str, ...]


def approved_now(folder: ApiFolder) -> Mapping[str, Tool]:
    """Return the approved tools by name, each from the import that it was approved in."""
    approvals = folder.approvals()
    made = {
        source: remade(folder.imported(source)).by_name for source in {one.source for one in approvals.tools.values()}
    }
    found = {name: made[one.source].get(name) for name, one in approvals.tools.items()}
    return {name: tool for name, tool in found.items() if tool is not None}


def changes_of(folder: ApiFolder, imported: Imported) -> list[Change]:
    """Return what differs, by name; tools that are as they were approved are not in it."""
    before, after = approved_now(folder), imported.made.by_name
    changes = [Change(name, "new", (after[name].operation.key,)) for name in after if name not in before]
    changes += [Change(name, "withdraw", (before[name].operation.key,)) for name in before if name not in after]
    for name in before.keys() & after.keys():
        if contract_of(before[name]) != contract_of(after[name]):
            changes.append(Change(name, "hold", ("the contract changed",)))
    return sorted(changes, key=lambda one: one.tool)
