"""Tools of a description: each operation under a name, with what it takes, gives and may do.

The same description gives the same bytes again. An operation that cannot be made a tool is a finding with
its pointer and reason, like everything that was read otherwise than written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from context_mesh.openapi.arguments import InputReader
from context_mesh.openapi.bodies import json_schema
from context_mesh.openapi.bundle import BUDGET_BYTES, bundle, shrink
from context_mesh.openapi.examples import example
from context_mesh.openapi.facts import describe, title
from context_mesh.openapi.model import Document, Finding, Operation
from context_mesh.openapi.naming import snake, tool_names
from context_mesh.openapi.outline import Outlines
from context_mesh.openapi.prose import suspicion
from context_mesh.openapi.report import Report
from context_mesh.openapi.risk import grade
from context_mesh.openapi.schemas import Schemas
from context_mesh.openapi.tool import Tool


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What an import gave: tools in the description's order, and every finding of loading and of making them."""

    tools: tuple[Tool, ...]
    findings: tuple[Finding, ...]


def make_tools(
    document: Document, *, names: Mapping[str, str] | None = None, budget_bytes: int = BUDGET_BYTES
) -> Toolbox:
    """Return the tools of a document.

    names         tool names of an earlier import by operation key: they are kept
    budget_bytes  of a published input schema, where what is required allows that
    """
    report = Report(document.files.limits)
    maker = _Maker(document, report, budget_bytes)
    kept: list[Operation] = []
    for operation in document.operations:
        if operation.hints.is_excluded:
            where = _where(operation)
            report.add("note", "operation-excluded", where, f"{operation.key[:200]}: the description asks for no tool")
        else:
            kept.append(operation)
    named = tool_names(kept, names or {})
    tools = tuple(maker.make(operation, named[operation.key]) for operation in kept)
    return Toolbox(tools, document.findings + report.findings())


def _where(operation: Operation) -> tuple[str, str]:
    file, _, pointer = operation.pointer.partition("#")
    return file, pointer


class _Maker:
    def __init__(self, document: Document, report: Report, budget_bytes: int) -> None:
        self._files = document.files
        self._report = report
        self._budget = budget_bytes
        self._schemas = Schemas(document.files, document.dialect, "input", report)
        self._inputs = InputReader(document.files, self._schemas)
        self._outlines = Outlines(document.files)

    def make(self, operation: Operation, name: str) -> Tool:
        inputs = self._inputs.read(operation)
        full = bundle(self._schemas, inputs.schema, inputs.uses)
        shown = example(self._files, operation, inputs.arguments, full)
        published = shrink(full, self._budget)
        if shown is not None:
            published = {**published, "examples": [shown]}
        risk, annotations = grade(operation)
        scopes = operation.hints.scopes or _scopes(operation)
        answer = json_schema(operation.responses)
        self._warn(operation)
        description = describe(operation, scopes)
        return Tool(
            name=name,
            title=title(operation, description),
            description=description,
            operation=operation,
            input_schema=published,
            full_schema=full,
            output_schema=self._outlines.of(answer) if answer else None,
            annotations=annotations,
            risk=risk,
            arguments=inputs.arguments,
            toolsets=toolsets(operation),
            scopes=scopes,
            example=shown,
            answer_fields=self._outlines.fields(answer) if answer else (),
        )

    def _warn(self, operation: Operation) -> None:
        texts = [operation.summary, operation.description, *(item.description for item in operation.parameters)]
        problem = next((problem for text in texts if (problem := suspicion(text))), "")
        if problem:
            self._report.add("warning", "suspicious-text", _where(operation), problem)


def toolsets(operation: Operation) -> tuple[str, ...]:
    """Return the groups of an operation: a hint's, its tags', or the first plain segment of its path."""
    if operation.hints.toolset:
        return (snake(operation.hints.toolset) or "other",)
    tags = tuple(dict.fromkeys(snake(tag) for tag in operation.tags if snake(tag)))
    if tags:
        return tags
    segments = [segment for segment in operation.path.split("/") if segment and "{" not in segment]
    return (next((snake(segment) for segment in segments if snake(segment)), "other"),)


def _scopes(operation: Operation) -> tuple[str, ...]:
    """Return the scopes of the first alternative: what a caller will mostly need."""
    first = operation.security[0] if operation.security else ()
    return tuple(dict.fromkeys(scope for need in first for scope in need.scopes))
