"""Binding: which tool of which API each step of a workflow calls, and where its parameters and its body go.

A step calls a tool that is approved, with that tool's own arguments: what no caller may set there
(a credential, a fixed value) no workflow can set either.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from context_mesh.arazzo.load import called
from context_mesh.arazzo.mistakes import Mistake
from context_mesh.arazzo.model import Description, Step, Target, Workflow
from context_mesh.openapi.model import Finding, Operation
from context_mesh.openapi.report import Report
from context_mesh.openapi.tool import Tool

Apis = Mapping[str, Sequence[Tool]]  # approved tools by name of the source description

_ACCESS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A step that calls an operation.

    source      the source description; `tool` is one of its API's
    parameters  argument name by (location, name on the wire in lower case where case does not count)
    fields      argument name by property of the body, when the tool takes them one by one
    body        the argument that is the whole body, empty when there is none
    """

    source: str
    tool: Tool
    parameters: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Workflows whose every step has its tool.

    steps  by workflow key and step id; steps that call workflows are not in it
    """

    description: Description
    workflows: Mapping[str, Workflow]
    steps: Mapping[tuple[str, str], BoundStep]
    findings: tuple[Finding, ...] = ()

    def entries(self) -> Iterator[Workflow]:
        """Yield the workflows that are tools: those of the entry file."""
        return (one for one in self.workflows.values() if one.is_entry)

    def reached(self, key: str) -> list[BoundStep]:
        """Return every step that a workflow may come to, in those that it calls too; each tool once."""
        pending, seen, found = [key], {key}, dict[tuple[str, str], BoundStep]()
        while pending:
            workflow = self.workflows[pending.pop()]
            for step in workflow.steps:
                bound = self.steps.get((workflow.key, step.id))
                if bound is not None:
                    found.setdefault((bound.source, bound.tool.name), bound)
            fresh = [one for one in called(workflow) if one not in seen]
            seen.update(fresh)
            pending += fresh
        return list(found.values())


def bind(description: Description, apis: Apis) -> Flows:
    """Return the workflows that these APIs can carry out; the others are findings."""
    report = Report(description.files.limits)
    steps: dict[tuple[str, str], BoundStep] = {}
    broken: set[str] = set()
    for workflow in description.workflows.values():
        file, _, pointer = workflow.pointer.partition("#")
        for index, step in enumerate(workflow.steps):
            if step.target.workflow:
                continue
            where = f"{pointer}/steps/{index}"
            try:
                steps[workflow.key, step.id] = _bound(workflow, step, apis, (report, file, where))
            except Mistake as mistake:
                report.add("error", mistake.code, (file, where), mistake.reason)
                broken.add(workflow.key)
    left = dict(description.workflows)
    while broken:
        for key in broken:
            file, _, pointer = left.pop(key).pointer.partition("#")
            reason = f"`{key[:100]}` gives no tool: a step, or a workflow that it calls, cannot be carried out"
            report.add("error", "unbound-workflow", (file, pointer), reason)
        broken = {key for key, one in left.items() if any(name not in left for name in called(one))}
    return Flows(description, left, steps, description.findings + report.findings())


_Said = tuple[Report, str, str]


def _bound(workflow: Workflow, step: Step, apis: Apis, said: _Said) -> BoundStep:
    source, tool = _tool(workflow, step.target, apis)
    parameters: dict[tuple[str, str], str] = {}
    fields: dict[str, str] = {}
    body = ""
    for argument in tool.arguments:
        if not argument.name:
            continue
        if argument.parameter is not None:
            parameters[_place(argument.parameter.location, argument.parameter.name)] = argument.name
        elif argument.field is not None:
            fields[argument.field.name] = argument.name
        else:
            body = argument.name
    taken = {place: name for place, name in parameters.items() if place in _given(step)}
    for place in _given(step) - taken.keys():
        _left_out(tool.operation, place, said)
    if step.payload is not None and not body and not fields:
        raise Mistake("no-body", f"`{tool.name}` takes no body")
    return BoundStep(source, tool, taken, fields, body)


def _given(step: Step) -> set[tuple[str, str]]:
    return {_place(one.location, one.name) for one in step.parameters if one.location}


def _place(location: str, name: str) -> tuple[str, str]:
    return location, name.lower() if location == "header" else name


def _left_out(operation: Operation, place: tuple[str, str], said: _Said) -> None:
    """Note a credential, which the gateway sends itself; raise `Mistake` for anything else that the tool lacks."""
    location, name = place
    is_declared = any(_place(one.location, one.name) == place for one in operation.parameters)
    schemes = {need.scheme for option in operation.security for need in option}
    is_credential = any((one.location, one.parameter) == place or one.parameter.lower() == name for one in schemes)
    if is_declared or is_credential or name.lower() in _ACCESS:
        report, file, where = said
        reason = f"`{name[:100]}` is left out: credentials, and what is fixed, no workflow sets"
        report.add("note", "left-out", (file, where), reason)
        return
    raise Mistake("unknown-parameter", f"`{operation.key[:200]}` has no {location} parameter `{name[:100]}`")


def _tool(workflow: Workflow, target: Target, apis: Apis) -> tuple[str, Tool]:
    """Return the one tool that a target means, and its source. Raises `Mistake` for none and for several."""
    sources = {name for name, one in workflow.sources.items() if one.kind == "openapi"}
    operation, wanted = target.operation, {target.source} if target.source else sources
    head, _, rest = operation.partition(".")
    if not target.source and rest and head in sources:  # `petstore.getPet`, as many write it
        operation, wanted = rest, {head}
    unknown = sorted(wanted - (sources & apis.keys()))
    if unknown and target.source:
        raise Mistake("unknown-source", f"no API is registered for the source `{unknown[0][:100]}`")
    found = [
        (name, tool)
        for name in sorted(wanted & apis.keys())
        for tool in apis[name]
        if (tool.operation.operation_id == operation if operation else _is_at(tool.operation, target))
    ]
    what = operation or f"{target.method} {target.path}"
    if not found:
        raise Mistake(
            "unknown-operation", f"`{what[:200]}` is no approved operation of {', '.join(sorted(wanted))[:200]}"
        )
    if len(found) > 1:
        raise Mistake("ambiguous-operation", f"`{what[:200]}` may mean several operations")
    return found[0]


def _is_at(operation: Operation, target: Target) -> bool:
    return operation.method == target.method and operation.path == target.path


def named(workflow: Workflow) -> str:
    """Return a workflow's name for people."""
    return workflow.summary.strip() or workflow.id
