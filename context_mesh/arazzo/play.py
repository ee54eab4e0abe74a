"""Play: one run of a workflow, call by call. Whoever plays it makes the calls and waits; nothing here does.

    run = play(flows, "book-trip", {"city": "Bern"}, matches)
    do = next(run)                    # Ask: make this call; Wait: let so much time pass
    do = run.send(reply)              # what came back, None for a wait; until StopIteration bears the Outcome

Steps, waits and what is kept are bounded whatever the description says: a `goto` may lead back for ever.
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from context_mesh.arazzo.actions import MAX_WAIT_S
from context_mesh.arazzo.binding import Flows
from context_mesh.arazzo.conditions import Matches, hold
from context_mesh.arazzo.expressions import Reply, Scene, resolved
from context_mesh.arazzo.model import Action, Given, Step, Workflow
from context_mesh.arazzo.payloads import BadPayload, arguments_of
from context_mesh.openapi.model import ABSENT
from context_mesh.wire.shape import size_of

MAX_STEPS: Final = 50  # that one run may carry out, retries included
MAX_KEPT_CHARS: Final = 4_000_000  # of all outputs of one run, as JSON


@dataclass(frozen=True, slots=True)
class Ask:
    """A call to make.

    step       the step's id, for people
    timeout_s  0: as long as there is
    """

    step: str
    source: str
    tool: str
    arguments: Mapping[str, object]
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was carried out, and the status of its answer (None: there was none)."""

    step: str
    tool: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    outputs  of the workflow, as far as they are known
    failure  why it failed, in words; empty when it did not
    taken    what was carried out, in order: a run that fails has done that much
    """

    outputs: Mapping[str, object]
    failure: str = ""
    taken: tuple[Taken, ...] = ()


Play = Generator[Ask | Wait, Reply | None, Outcome]


def play(flows: Flows, key: str, inputs: Mapping[str, object], matches: Matches) -> Play:
    """Begin a run of the workflow `key`; `inputs` fit its schema."""
    player = _Player(flows, matches)
    try:
        outcome = yield from player.workflow(flows.workflows[key], inputs)
    except _Stopped as stopped:
        outcome = Outcome({}, str(stopped))
    return Outcome(outcome.outputs, outcome.failure, tuple(player.taken))


class _Stopped(Exception):
    """A bound was met."""


@dataclass(slots=True)
class _Run:
    """One workflow on its way."""

    workflow: Workflow
    inputs: Mapping[str, object]
    steps: dict[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    retries: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def at(self, step_id: str) -> int:
        return next(index for index, step in enumerate(self.workflow.steps) if step.id == step_id)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a step came to."""

    scene: Scene
    is_success: bool
    why: str = ""


class _Player:
    def __init__(self, flows: Flows, matches: Matches) -> None:
        self._flows = flows
        self._matches = matches
        self._workflows: dict[str, object] = {}  # by id, what those that ran were given and gave
        self._kept = 0
        self._count = 0
        self.taken: list[Taken] = []

    def workflow(self, workflow: Workflow, inputs: Mapping[str, object]) -> Play:
        """Carry a workflow out, from its first step to where its actions end it."""
        run = _Run(workflow, inputs)
        index = 0
        while index < len(workflow.steps):
            step = workflow.steps[index]
            done = yield from self._step(run, step)
            action = self._action(run, step, done)
            if action is None and done.is_success:
                index += 1
            elif action is None:
                return self._ended(run, f"the step `{step.id}` failed: {done.why}")
            elif action.kind == "end":
                return self._ended(run, "" if done.is_success else f"the step `{step.id}` failed: {done.why}")
            elif action.kind == "retry":
                yield from self._before_retry(run, action, done)
            elif action.workflow:
                return (yield from self._called(action.workflow, action.parameters, done.scene))
            else:
                index = run.at(action.step)
        return self._ended(run, "")

    def _before_retry(self, run: _Run, action: Action, done: _Done) -> Generator[Ask | Wait, Reply | None, None]:
        if action.workflow:
            yield from self._called(action.workflow, action.parameters, done.scene)
        elif action.step:
            yield from self._step(run, run.workflow.steps[run.at(action.step)])
        seconds = _retry_after(done.scene.reply, action.after_s)
        if seconds > 0:
            yield Wait(seconds)

    def _action(self, run: _Run, step: Step, done: _Done) -> Action | None:
        """Return what follows; None: what follows without any action. A retry counts as taken."""
        for action in step.on_success if done.is_success else step.on_failure:
            if not hold(action.criteria, done.scene, self._matches):
                continue
            if action.kind != "retry":
                return action
            run.retries[step.id, action.name] += 1
            if run.retries[step.id, action.name] <= action.limit:
                return action
        return None

    # --- one step ----------------------------------------------------------------------------

    def _step(self, run: _Run, step: Step) -> Generator[Ask | Wait, Reply | None, _Done]:
        self._count += 1
        if self._count > MAX_STEPS:
            raise _Stopped(f"the workflow takes more than {MAX_STEPS} steps")
        scene = self._scene(run)
        if step.target.workflow:
            outcome = yield from self._called(step.target.workflow, step.parameters, scene)
            done = self._judged(step, scene.after(Reply(), outcome.outputs), outcome.failure)
        else:
            done = yield from self._asked(run, step, scene)
        if done.is_success:
            run.steps[step.id] = self._outputs(step.outputs, done.scene)
            done = _Done(self._scene(run).after(done.scene.reply, done.scene.outputs), is_success=True)
        return done

    def _asked(self, run: _Run, step: Step, scene: Scene) -> Generator[Ask | Wait, Reply | None, _Done]:
        bound = self._flows.steps[run.workflow.key, step.id]
        try:
            arguments, request = arguments_of(step, bound, scene)
        except BadPayload as bad:
            return _Done(scene, is_success=False, why=str(bad))
        reply = yield Ask(step.id, bound.source, bound.tool.name, arguments, step.timeout_s)
        assert reply is not None
        self.taken.append(Taken(step.id, bound.tool.name, reply.status))
        seen = Reply(reply.status, reply.headers, reply.body, reply.url, reply.method, request)
        return self._judged(step, scene.after(seen), "")

    def _judged(self, step: Step, scene: Scene, failure: str) -> _Done:
        """Say whether a step succeeded: by its criteria, and without any by its status (below 400)."""
        status = scene.reply.status
        if failure:
            return _Done(scene, is_success=False, why=failure)
        if step.criteria:
            if hold(step.criteria, scene, self._matches):
                return _Done(scene, is_success=True)
        elif step.target.workflow or (status is not None and status < 400):
            return _Done(scene, is_success=True)
        if status is None:
            why = "nothing came back" if not step.target.workflow else "its criteria do not hold"
        else:
            why = f"the answer is {status}" + (", and its criteria do not hold" if status < 400 else "")
        return _Done(scene, is_success=False, why=why)

    def _called(self, key: str, parameters: Sequence[Given], scene: Scene) -> Play:
        """Carry another workflow out with what a step gives it."""
        pairs = ((one.name, resolved(one.value, scene)) for one in parameters if not one.location)
        inputs = {name: value for name, value in pairs if value is not ABSENT}
        return (yield from self.workflow(self._flows.workflows[key], inputs))

    # --- what is known -----------------------------------------------------------------------

    def _scene(self, run: _Run) -> Scene:
        sources = {name: {"url": one.url, "type": one.kind} for name, one in run.workflow.sources.items()}
        return Scene(run.inputs, {}, run.steps, self._workflows, sources)

    def _outputs(self, written: Mapping[str, object], scene: Scene) -> dict[str, object]:
        pairs = ((name, resolved(value, scene)) for name, value in written.items())
        outputs = {name: value for name, value in pairs if value is not ABSENT}
        self._kept += size_of(outputs)
        if self._kept > MAX_KEPT_CHARS:
            raise _Stopped(f"the outputs of the steps have more than {MAX_KEPT_CHARS} characters")
        return outputs

    def _ended(self, run: _Run, failure: str) -> Outcome:
        outputs = self._outputs(run.workflow.outputs, self._scene(run))
        self._workflows[run.workflow.id] = {"inputs": dict(run.inputs), "outputs": outputs}
        return Outcome(outputs, failure)


def _retry_after(reply: Reply, otherwise_s: float) -> float:
    """Return the seconds that an answer asks for, or else those that the description does; at most `MAX_WAIT_S`."""
    said = reply.headers.get("retry-after", "").strip()
    is_plain = said.isascii() and said.isdigit() and len(said) < 6
    return min(float(said) if is_plain else otherwise_s, MAX_WAIT_S)
