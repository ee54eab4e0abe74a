"""A workflow description as values: its sources, its workflows, what each step asks for and what follows.

Versions 1.0 and 1.1 of Arazzo are one model here. Runtime expressions stay as they were written;
`expressions` reads them. Which tool a step means is found by `binding`, what happens by `play`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from context_mesh.openapi.files import Files
from context_mesh.openapi.model import Finding

MAX_WORKFLOWS: Final = 200
MAX_WRITTEN_STEPS: Final = 200  # of one workflow
MAX_CRITERIA: Final = 50  # of one step or action
MAX_NESTED: Final = 8  # workflows within workflows
MAX_FILES_DEPTH: Final = 4  # Arazzo descriptions that refer to others

CriterionKind = Literal["simple", "regex", "jsonpath"]
ActionKind = Literal["end", "goto", "retry"]
SourceKind = Literal["openapi", "arazzo", "asyncapi"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where operations come from: the API registered under `name`, or another file of workflows."""

    name: str
    kind: SourceKind
    url: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """An assertion. `context` is an expression, empty for a simple one."""

    condition: str
    kind: CriterionKind = "simple"
    context: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter of a step. `location` is empty where a workflow takes it as an input."""

    name: str
    location: str
    value: object


@dataclass(frozen=True, slots=True)
class Replacement:
    """A value to set in a payload, at a JSON pointer or at every place that a JSONPath selects."""

    target: str
    is_path: bool
    value: object


@dataclass(frozen=True, slots=True)
class Payload:
    value: object
    content_type: str = ""
    replacements: tuple[Replacement, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """What follows a step.

    step, workflow  where `goto` leads, or what is done before a retry; at most one of them
    after_s         before a retry, unless the answer says something else
    limit           how many retries
    """

    name: str
    kind: ActionKind
    step: str = ""
    workflow: str = ""
    parameters: tuple[Given, ...] = ()
    after_s: float = 0.0
    limit: int = 1
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a step asks for: an operation by its id or by its place, or a workflow by its key.

    source     name of the source description; empty when there is one only
    operation  its `operationId`
    path, method  of an operation that is named by its place: `/pets/{id}`, `GET`
    """

    source: str = ""
    operation: str = ""
    path: str = ""
    method: str = ""
    workflow: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; what its workflow says for all steps is in it already."""

    id: str
    target: Target
    description: str = ""
    parameters: tuple[Given, ...] = ()
    payload: Payload | None = None
    criteria: tuple[Criterion, ...] = ()
    on_success: tuple[Action, ...] = ()
    on_failure: tuple[Action, ...] = ()
    outputs: Mapping[str, object] = field(default_factory=dict[str, object])
    timeout_s: float = 0.0  # 0: none of its own


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """One workflow.

    key     its id, with its file in front when that is not the entry file: distinct
    inputs  its JSON Schema as written, with the place that references start from: (value, file, pointer)
    raw     everything that was written of it
    """

    key: str
    id: str
    steps: tuple[Step, ...]
    summary: str = ""
    description: str = ""
    inputs: tuple[object, str, str] = (None, "", "")
    outputs: Mapping[str, object] = field(default_factory=dict[str, object])
    sources: Mapping[str, Source] = field(default_factory=dict[str, Source])
    raw: object = None
    pointer: str = ""

    @property
    def is_entry(self) -> bool:
        """Whether it is of the entry file: those of other files are parts only."""
        return self.key == self.id


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """One description, read: its workflows by key, those of other files that it refers to included."""

    version: str
    title: str
    workflows: Mapping[str, Workflow]
    findings: tuple[Finding, ...]
    files: Files
    summary: str = ""
