"""Load a workflow description: bytes in, a `Description` out; a workflow with a mistake in it is named and left out.

Unlike a description of an API, nothing here is read otherwise than written: a step that was understood
wrongly is a wrong call.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from context_mesh.arazzo.actions import read_actions, read_criteria
from context_mesh.arazzo.mistakes import Mistake, Where
from context_mesh.arazzo.model import (
    MAX_FILES_DEPTH,
    MAX_NESTED,
    MAX_WORKFLOWS,
    MAX_WRITTEN_STEPS,
    Action,
    Description,
    Source,
    SourceKind,
    Step,
    Target,
    Workflow,
)
from context_mesh.arazzo.steps import read_step
from context_mesh.openapi.files import BrokenReference, Files, Read
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.members import array, mapping, text
from context_mesh.openapi.report import Report
from context_mesh.openapi.yaml_values import unreadable

_KINDS: Final[Mapping[str, SourceKind]] = {"openapi": "openapi", "arazzo": "arazzo", "": "openapi"}
_CIRCLE: Final = f"calls itself, or workflows within more than {MAX_NESTED} others"


def is_workflows(value: object) -> bool:
    """Say whether a parsed file is an Arazzo description."""
    return "arazzo" in mapping(value)


def load(entry: bytes, *, name: str = "", read: Read | None = None, limits: Limits | None = None) -> Description:
    """Return a description with every workflow that can be carried out; the others are findings.

    read  gives another local file's bytes: other Arazzo descriptions that it refers to

    Raises `BadRequest` (`not_a_description`, and like `parse`).
    """
    limits = limits or Limits()
    files = Files(entry, name=name, read=read, limits=limits)
    root = mapping(files.values[""])
    version = text(root.get("arazzo"))
    if not version.startswith("1."):
        raise unreadable(name, "it is no Arazzo 1.x description", code="not_a_description")
    report = Report(limits)
    loader = _Loader(files, report)
    loader.file("", 0)
    info = mapping(root.get("info"))
    return Description(
        version=version,
        title=text(info.get("title")),
        workflows=loader.sound(),
        findings=report.findings(),
        files=files,
        summary=text(info.get("summary")) or text(info.get("description")),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """What workflows of one file share."""

    name: str
    sources: Mapping[str, Source]
    components: Mapping[str, object]
    others: Mapping[str, str]  # file by name of an `arazzo` source


class _Loader:
    def __init__(self, files: Files, report: Report) -> None:
        self._files = files
        self._report = report
        self._found: dict[str, Workflow] = {}
        self._read: set[str] = set()

    def file(self, name: str, depth: int) -> None:
        """Read the workflows of a file, and of the files that it refers to."""
        if name in self._read:
            return
        self._read.add(name)
        root = mapping(self._files.at(name, "").value)
        of = self._sources(name, root, depth)
        for index, written in enumerate(array(root.get("workflows"))):
            pointer = f"/workflows/{index}"
            if len(self._found) >= MAX_WORKFLOWS:
                reason = f"there are more than {MAX_WORKFLOWS} workflows"
                self._report.add("error", "too-many-workflows", (name, pointer), reason)
                return
            try:
                workflow = self._workflow(of, mapping(written), pointer)
            except Mistake as mistake:
                self._report.add("error", mistake.code, (name, pointer + mistake.pointer), mistake.reason)
            else:
                self._found[workflow.key] = workflow

    def _sources(self, name: str, root: Mapping[str, object], depth: int) -> _File:
        sources: dict[str, Source] = {}
        others: dict[str, str] = {}
        for index, written in enumerate(array(root.get("sourceDescriptions"))):
            members, where = mapping(written), (name, f"/sourceDescriptions/{index}")
            source = Source(
                text(members.get("name")), _KINDS.get(text(members.get("type")), "asyncapi"), text(members.get("url"))
            )
            sources[source.name] = source
            if source.kind == "asyncapi":
                self._report.add("note", "no-messages", where, "messages are not called from here, only operations are")
            if source.kind != "arazzo":
                continue
            try:
                place = self._files.resolve(source.url, name)
            except BrokenReference as broken:
                self._report.broken(broken, where)
                continue
            if place.pointer or not is_workflows(place.value) or depth >= MAX_FILES_DEPTH:
                self._report.add(
                    "warning", "no-workflows", where, "it is no Arazzo description, or too many files away"
                )
                continue
            others[source.name] = place.file
            self.file(place.file, depth + 1)
        return _File(name, sources, mapping(root.get("components")), others)

    def _workflow(self, of: _File, written: Mapping[str, object], pointer: str) -> Workflow:
        name = text(written.get("workflowId"))
        key = _key(of.name, name)
        if not name or key in self._found:
            raise Mistake("workflow-id", "a workflow needs a `workflowId` that no other has")
        if array(written.get("dependsOn")):
            raise Mistake("unsupported", f"`{name[:100]}` waits for other workflows (`dependsOn`)", "/dependsOn")
        steps = array(written.get("steps"))
        if not 0 < len(steps) <= MAX_WRITTEN_STEPS:
            raise Mistake("no-steps", f"`{name[:100]}` needs 1 to {MAX_WRITTEN_STEPS} steps", "/steps")
        shared: dict[str, object] = {**written, "components": of.components}
        read = [self._step(of, mapping(step), shared, index) for index, step in enumerate(steps)]
        _distinct(read)
        return Workflow(
            key=key,
            id=name,
            steps=tuple(read),
            summary=text(written.get("summary")),
            description=text(written.get("description")),
            inputs=(written.get("inputs"), of.name, f"{pointer}/inputs"),
            outputs=mapping(written.get("outputs")),
            sources=of.sources,
            raw=shared,
            pointer=f"{of.name}#{pointer}",
        )

    def _step(self, of: _File, written: Mapping[str, object], shared: Mapping[str, object], index: int) -> Step:
        where = Where(f"/steps/{index}", of.components)
        step = read_step(written, shared, where)
        criteria = read_criteria(written.get("successCriteria"), where.below("successCriteria"))
        on_success = read_actions(written, shared, "onSuccess", where)
        on_failure = read_actions(written, shared, "onFailure", where)
        keyed = replace(step, target=self._keyed(of, step.target, where))
        return replace(
            keyed,
            criteria=criteria,
            on_success=tuple(self._led(of, one, where) for one in on_success),
            on_failure=tuple(self._led(of, one, where) for one in on_failure),
        )

    def _led(self, of: _File, action: Action, where: Where) -> Action:
        if not action.workflow:
            return action
        return replace(action, workflow=self._keyed(of, Target(workflow=action.workflow), where).workflow)

    def _keyed(self, of: _File, target: Target, where: Where) -> Target:
        """Return a target whose workflow is named by its key."""
        if not target.workflow:
            return target
        source, _, name = target.workflow.removeprefix("$sourceDescriptions.").partition(".")
        if not target.workflow.startswith("$"):
            return replace(target, workflow=_key(of.name, target.workflow))
        if source not in of.others:
            where.refuse("unknown-source", f"there are no workflows called `{source[:100]}`")
        return replace(target, workflow=_key(of.others[source], name.removeprefix("workflows.")))

    # --- as a whole ---------------------------------------------------------------------------

    def sound(self) -> dict[str, Workflow]:
        """Return the workflows all of whose parts are there, and that call none within which they are themselves."""
        left = dict(self._found)
        while True:
            broken = {key: reason for key, one in left.items() if (reason := _why_not(one, left))}
            if not broken:
                heights: dict[str, int] = {}
                tall = [key for key in left if _height(key, left, heights) > MAX_NESTED]
                broken = {key: f"`{left[key].id[:100]}` {_CIRCLE}" for key in tall}
            for key, reason in broken.items():
                file, _, pointer = left.pop(key).pointer.partition("#")
                self._report.add("error", "broken-workflow", (file, pointer), reason)
            if not broken:
                return left


def _why_not(workflow: Workflow, known: Mapping[str, Workflow]) -> str:
    steps = {step.id for step in workflow.steps}
    for step in workflow.steps:
        for action in (*step.on_success, *step.on_failure):
            if action.step and action.step not in steps:
                return f"`{workflow.id[:100]}` goes to the step `{action.step[:100]}`, which it has not"
    missing = next((key for key in called(workflow) if key not in known), None)
    if missing is not None:
        return f"`{workflow.id[:100]}` calls the workflow `{missing[:100]}`, which cannot be carried out"
    return ""


def called(workflow: Workflow) -> Iterator[str]:
    """Yield the key of each workflow that one may call or go over to."""
    for step in workflow.steps:
        for target in (step.target, *step.on_success, *step.on_failure):
            if target.workflow:
                yield target.workflow


def _height(key: str, known: Mapping[str, Workflow], heights: dict[str, int]) -> int:
    """Return how many workflows are within one another below `key`, itself included; too many for a circle."""
    if key not in heights:
        heights[key] = MAX_NESTED + 1  # until it is known: whoever comes back to it, calls itself
        below = (_height(one, known, heights) for one in called(known[key]))
        heights[key] = min(max(below, default=0), MAX_NESTED) + 1
    return heights[key]


def _distinct(steps: list[Step]) -> None:
    seen: set[str] = set()
    for index, step in enumerate(steps):
        if step.id in seen:
            raise Mistake("step-id", f"two steps are called `{step.id[:100]}`", f"/steps/{index}")
        seen.add(step.id)


def _key(file: str, name: str) -> str:
    return f"{file}#{name}" if file else name
