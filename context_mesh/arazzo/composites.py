"""Composite tools: what a workflow looks like to those who call it, and what an approval of it is about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from context_mesh.arazzo.binding import BoundStep, Flows, named
from context_mesh.arazzo.load import called
from context_mesh.arazzo.model import MAX_NESTED, Workflow
from context_mesh.openapi.bundle import bundle, shrink
from context_mesh.openapi.members import JsonObject, mapping
from context_mesh.openapi.model import Finding, Schema
from context_mesh.openapi.naming import is_name, snake
from context_mesh.openapi.prose import MAX_TOOL_CHARS, cut, first_sentence, suspicion
from context_mesh.openapi.report import Report
from context_mesh.openapi.schemas import Schemas
from context_mesh.openapi.tool import Risk

MAX_NAME_CHARS: Final = 50
_NO_INPUTS: Final[JsonObject] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """A workflow as a tool.

    key          of the workflow
    full_schema  what arguments are checked against; the same object as `input_schema` when nothing was cut
    steps        what it may call, each operation once
    contract     digest of everything that an approval is about
    """

    name: str
    key: str
    title: str
    description: str
    input_schema: JsonObject
    full_schema: JsonObject
    steps: tuple[BoundStep, ...]
    contract: str

    @property
    def risk(self) -> Risk:
        """The highest of its steps."""
        return max((step.tool.risk for step in self.steps), default=Risk.READ)

    def definition(self) -> dict[str, object]:
        """Return the tool as an item of MCP's `tools/list`."""
        hints = [step.tool.annotations for step in self.steps]
        members: dict[str, object] = {"name": self.name}
        if self.title and not self.description.startswith(self.title):
            members["title"] = self.title
        return members | {
            "description": self.description,
            "inputSchema": self.input_schema,
            "annotations": {
                "readOnlyHint": all(hint.is_read_only for hint in hints),
                "destructiveHint": any(hint.is_destructive for hint in hints),
                "idempotentHint": all(hint.is_read_only for hint in hints),
                "openWorldHint": True,
            },
        }


def composites(
    flows: Flows, names: Mapping[str, str] | None = None
) -> tuple[tuple[Composite, ...], tuple[Finding, ...]]:
    """Return the tools of workflows, and what a person should know about them beyond `flows.findings`.

    names  tool names of an earlier import by workflow id: they are kept
    """
    report = Report(flows.description.files.limits)
    schemas = Schemas(flows.description.files, "3.1", "input", report)
    entries = list(flows.entries())
    called_so = _names([workflow.id for workflow in entries], names or {})
    made = [_composite(flows, schemas, report, workflow, called_so[workflow.id]) for workflow in entries]
    return tuple(made), report.findings()


def _composite(flows: Flows, schemas: Schemas, report: Report, workflow: Workflow, name: str) -> Composite:
    file, _, pointer = workflow.pointer.partition("#")
    full = _inputs(schemas, report, workflow)
    steps = tuple(flows.reached(workflow.key))
    for text in (workflow.summary, workflow.description):
        problem = suspicion(text)
        if problem:
            report.add("warning", "suspicious-text", (file, pointer), problem)
    return Composite(
        name=name,
        key=workflow.key,
        title=first_sentence(workflow.summary, 60).rstrip("."),
        description=_description(workflow, steps),
        input_schema=shrink(full),
        full_schema=full,
        steps=steps,
        contract=_contract(flows, workflow, full, steps),
    )


def _inputs(schemas: Schemas, report: Report, workflow: Workflow) -> JsonObject:
    value, file, pointer = workflow.inputs
    if value is None:
        return _NO_INPUTS
    schema, uses = schemas.convert(Schema(value, file, pointer))
    whole = bundle(schemas, schema, uses)
    root = whole
    for _ in range(MAX_NESTED):  # the root must say itself that it is an object
        definition = mapping(mapping(whole.get("$defs")).get(str(root.get("$ref")).rpartition("/")[2]))
        root = {**definition, "$defs": whole["$defs"]} if definition else root
    if root.get("type") != "object" or root.keys() & {"oneOf", "anyOf", "allOf"}:
        report.add(
            "warning", "inputs-are-open", (file, pointer), "the inputs are no plain object, so anything is taken"
        )
        return {"type": "object", "properties": {}}
    return {"additionalProperties": False, "properties": {}, **root}


def _description(workflow: Workflow, steps: Sequence[BoundStep]) -> str:
    sentence = first_sentence(workflow.summary, MAX_TOOL_CHARS) or first_sentence(workflow.description, MAX_TOOL_CHARS)
    calls = ", ".join(step.tool.name for step in steps)
    fact = cut(f"Does at once what {len(steps)} calls do: {calls}.", 150) if steps else ""
    sentence = cut(sentence or workflow.id, MAX_TOOL_CHARS - len(fact) - 2)
    return f"{sentence if sentence[-1] in '.!?…' else sentence + '.'} {fact}".strip()


def _contract(flows: Flows, workflow: Workflow, schema: JsonObject, steps: Sequence[BoundStep]) -> str:
    pending, raws = [workflow.key], dict[str, object]()
    while pending:
        one = flows.workflows[pending.pop()]
        if one.key not in raws:
            raws[one.key] = [one.raw, {name: source.url for name, source in one.sources.items()}]
            pending += called(one)
    told = {
        "name": named(workflow),
        "schema": schema,
        "workflows": raws,
        "steps": sorted([one.source, one.tool.name, one.tool.operation.key] for one in steps),
    }
    return "sha256:" + sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def _names(ids: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    names = {one: known[one] for one in ids if is_name(known.get(one, ""))}
    taken = set(names.values())
    for one in sorted(set(ids) - names.keys()):
        digest = sha256(one.encode()).hexdigest()
        plain = snake(one)
        name = (
            plain if 0 < len(plain) <= MAX_NAME_CHARS else f"{plain[: MAX_NAME_CHARS - 7] or 'workflow'}_{digest[:6]}"
        )
        digits = 6
        while name in taken:
            name = f"{plain[: MAX_NAME_CHARS - 1 - digits]}_{digest[:digits]}"
            digits += 1
        names[one] = name
        taken.add(name)
    return names
