"""The approved tools of an API: made again from the imports they were approved in, and held to their contracts."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from agent_gateway.mesh.folder import ApiFolder, Import
from agent_gateway.mesh.sources import Sources
from context_mesh.curation import curate, is_overlay, read_curation
from context_mesh.openapi.load import load
from context_mesh.openapi.model import Document
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import Toolbox, make_tools


@dataclass(frozen=True, slots=True)
class Approved:
    """What is served of an API, and sentences about what is not.

    instructions  what the API says of itself, for callers
    """

    tools: tuple[Tool, ...] = ()
    findings: tuple[str, ...] = ()
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """One import, read: its document and its tools."""

    document: Document
    toolbox: Toolbox

    @property
    def by_name(self) -> Mapping[str, Tool]:
        return {tool.name: tool for tool in self.toolbox.tools}


def make(sources: Sources, curation: bytes, names: Mapping[str, str]) -> Made:
    """Return the tools of a description with its curation; raises `BadRequest` like `load`."""
    is_empty = all(not line.strip() or line.lstrip().startswith(b"#") for line in curation.splitlines())
    overlays = [curation] if not is_empty and is_overlay(curation) else []
    document = load(sources.body, name=sources.entry, read=sources.read, overlays=overlays)
    toolbox = make_tools(document, names=names)
    if not is_empty and not overlays:
        toolbox = curate(toolbox, read_curation(curation))
    return Made(document, toolbox)


def remade(kept: Import) -> Made:
    """Return the tools of a kept import."""
    return make(kept.sources, kept.curation, kept.about.names)


def contract_of(tool: Tool) -> str:
    """Return the digest of everything that an approval is about: what a tool says, takes, does and where it goes."""
    operation = tool.operation
    body = operation.body
    told = {
        "definition": tool.definition(),
        "schema": tool.full_schema,
        "request": [operation.method, operation.path, operation.query, operation.has_own_servers],
        "servers": [server.url for server in operation.servers] if operation.has_own_servers else [],
        "body": [body.media.name, body.media.full] if body is not None else [],
        "security": [[[need.scheme.name, *need.scopes] for need in option] for option in operation.security],
        "risk": int(tool.risk),
        "arguments": [_place_of(tool, index) for index in range(len(tool.arguments))],
    }
    return "sha256:" + sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def _place_of(tool: Tool, index: int) -> list[object]:
    argument = tool.arguments[index]
    parameter, field = argument.parameter, argument.field
    fixed = repr(argument.fixed)
    if parameter is not None:
        return [argument.name, fixed, parameter.location, parameter.name, parameter.style, parameter.explode]
    return [argument.name, fixed, "body", field.name if field is not None else ""]


def approved_tools(folder: ApiFolder) -> Approved:
    """Return what is served of an API. Raises `BadRequest` when the folder was tampered with."""
    approvals = folder.approvals()
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, approval in approvals.tools.items():
        wanted[approval.source][name] = approval.contract
    tools: list[Tool] = []
    findings: list[str] = []
    instructions = ""
    for source, contracts in sorted(wanted.items()):
        made = remade(folder.imported(source))
        known = made.by_name
        for name, contract in contracts.items():
            tool = known.get(name)
            if tool is None or contract_of(tool) != contract:
                findings.append(f"`{name}` is not as it was approved: look at `mesh diff` and approve it again")
            else:
                tools.append(tool)
        instructions = made.document.title
    tools.sort(key=lambda tool: tool.name)
    return Approved(tuple(tools), tuple(findings), instructions)
