"""Comparing the latest import of an API with what is approved, tool by tool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from agent_gateway.mesh.approved import contract_of, remade
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import Imported
from context_mesh import contract
from context_mesh.contract import compare_all
from context_mesh.openapi.tool import Tool

Verdict = Literal["new", "quiet", "notify", "hold", "withdraw"]

VERDICTS: Final[Mapping[contract.Verdict, Verdict]] = {
    contract.Verdict.QUIET: "quiet",
    contract.Verdict.NOTIFY: "notify",
    contract.Verdict.HOLD: "hold",
    contract.Verdict.WITHDRAW: "withdraw",
}


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
    before = tuple(approved_now(folder).values())
    changes: list[Change] = []
    for one in compare_all(before, imported.made.toolbox.tools):
        if one.before is None and one.after is not None:
            changes.append(Change(one.name, "new", (one.after.operation.key,)))
        elif one.before is not None and (one.after is None or contract_of(one.before) != contract_of(one.after)):
            what = tuple(f"{change.where} {change.what}".strip() for change in one.changes)
            changes.append(Change(one.name, VERDICTS[one.verdict], what or ("other words",)))
    return sorted(changes, key=lambda one: one.tool)
