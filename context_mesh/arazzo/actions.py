"""Criteria and actions of a step, as they are written."""

from collections.abc import Mapping
from typing import Final, cast

from context_mesh.arazzo.conditions import mistake
from context_mesh.arazzo.expressions import selector_kind
from context_mesh.arazzo.mistakes import Where
from context_mesh.arazzo.model import MAX_CRITERIA, Action, ActionKind, Criterion, Given
from context_mesh.openapi.members import array, mapping, text

MAX_RETRIES: Final = 10
MAX_WAIT_S: Final = 30.0
MAX_ACTIONS: Final = 50
_SHARED: Final = {"onSuccess": "successActions", "onFailure": "failureActions"}


def read_criteria(written: object, where: Where) -> tuple[Criterion, ...]:
    """Return criteria; raises `Mistake` for one that could never be evaluated."""
    items = array(written)
    if len(items) > MAX_CRITERIA:
        where.refuse("too-many-criteria", f"there are more than {MAX_CRITERIA} criteria")
    return tuple(_criterion(mapping(one), where.below(index)) for index, one in enumerate(items))


def _criterion(written: Mapping[str, object], where: Where) -> Criterion:
    kind = selector_kind(written.get("type")) or "simple"
    if kind not in ("simple", "regex", "jsonpath"):
        where.refuse("unsupported", f"conditions of the type `{kind[:50]}` are not evaluated here")
    criterion = Criterion(text(written.get("condition")), kind, text(written.get("context")))
    reason = mistake(criterion)
    if reason:
        where.refuse("bad-condition", reason)
    return criterion


def read_actions(
    step: Mapping[str, object], workflow: Mapping[str, object], member: str, where: Where
) -> tuple[Action, ...]:
    """Return the actions of a step, and behind them those of its workflow that it does not override by name."""
    kind = _SHARED[member]
    own = _read_all(step.get(member), kind, where.below(member))
    shared = _read_all(workflow.get(kind), kind, where.below(member))
    names = {action.name for action in own}
    return own + tuple(action for action in shared if action.name not in names)


def _read_all(written: object, kind: str, where: Where) -> tuple[Action, ...]:
    items = array(written)
    if len(items) > MAX_ACTIONS:
        where.refuse("too-many-actions", f"there are more than {MAX_ACTIONS} actions")
    return tuple(_action(where.reused(one, kind), kind, where.below(index)) for index, one in enumerate(items))


def _action(written: Mapping[str, object], kind: str, where: Where) -> Action:
    does = text(written.get("type"))
    allowed = ("end", "goto") if kind == "successActions" else ("end", "goto", "retry")
    step, workflow = text(written.get("stepId")), text(written.get("workflowId"))
    if does not in allowed:
        where.refuse("bad-action", f"the type must be one of {', '.join(allowed)}")
    if (step and workflow) or (does == "goto" and not step and not workflow):
        where.refuse("bad-action", "an action leads to one step or one workflow")
    parameters = [where.reused(one, "parameters") for one in array(written.get("parameters"))]
    return Action(
        name=text(written.get("name")),
        kind=cast("ActionKind", does),
        step=step,
        workflow=workflow,
        parameters=tuple(Given(text(one.get("name")), "", one.get("value")) for one in parameters),
        after_s=min(_number(written.get("retryAfter"), 0.0), MAX_WAIT_S),
        limit=int(min(_number(written.get("retryLimit"), 1.0), MAX_RETRIES)),
        criteria=read_criteria(written.get("criteria"), where.below("criteria")),
    )


def _number(written: object, default: float) -> float:
    is_number = isinstance(written, int | float) and not isinstance(written, bool) and written >= 0
    return float(min(cast("float", written), 1e6)) if is_number else default
