"""One step as it is written: what it asks for, and with what."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from context_mesh.arazzo.expressions import selector_kind
from context_mesh.arazzo.mistakes import Where
from context_mesh.arazzo.model import Given, Payload, Replacement, Step, Target
from context_mesh.openapi.members import array, mapping, text

MAX_PARAMETERS: Final = 100
MAX_REPLACEMENTS: Final = 100
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SOURCE: Final = re.compile(r"\$sourceDescriptions\.([A-Za-z0-9_-]+)\.(.+)")
_PLACE: Final = re.compile(r"\{?\$sourceDescriptions\.([A-Za-z0-9_-]+)(?:\.url)?\}?#/paths/([^/]+)/([a-z]{1,20})")
_TARGETS: Final = ("operationId", "operationPath", "workflowId")
_MESSAGES: Final = ("channelPath", "action", "correlationId")


def read_step(written: Mapping[str, object], workflow: Mapping[str, object], where: Where) -> Step:
    """Return a step without its criteria and actions; raises `Mistake`."""
    name = text(written.get("stepId"))
    if not _ID.fullmatch(name):
        where.refuse("step-id", "a step needs a `stepId` of letters, digits, `_` and `-`")
    messages = next((member for member in _MESSAGES if member in written), None)
    if messages is not None:
        where.refuse("unsupported", f"`{messages}` is of messages, and only operations are called from here")
    timeout = written.get("timeout")
    is_limited = isinstance(timeout, int) and not isinstance(timeout, bool) and timeout > 0
    target = _target(written, where)
    return Step(
        id=name,
        target=target,
        description=text(written.get("description")),
        parameters=_parameters(written, workflow, where, is_call=not target.workflow),
        payload=_payload(written.get("requestBody"), where.below("requestBody")),
        outputs=mapping(written.get("outputs")),
        timeout_s=int(str(timeout)) / 1000 if is_limited else 0.0,
    )


def _target(written: Mapping[str, object], where: Where) -> Target:
    named = {member: text(written[member]) for member in _TARGETS if member in written}
    if len(named) != 1:
        where.refuse("no-target", "a step has one of `operationId`, `operationPath` and `workflowId`")
    ((member, value),) = named.items()
    if member == "workflowId":
        return Target(workflow=value)
    if member == "operationId":
        sourced = _SOURCE.fullmatch(value)
        if not value or (value.startswith("$") and sourced is None):
            where.refuse("no-target", f"`{value[:100]}` names no operation")
        return Target(sourced[1], sourced[2]) if sourced else Target(operation=value)
    place = _PLACE.fullmatch(value)
    if place is None:
        where.refuse("no-target", f"`{value[:200]}` names no operation: a source, `#/paths/`, a path and a method")
    return Target(place[1], path=unquote(place[2]).replace("~1", "/").replace("~0", "~"), method=place[3].upper())


def _parameters(
    step: Mapping[str, object], workflow: Mapping[str, object], where: Where, *, is_call: bool
) -> tuple[Given, ...]:
    """Return the parameters of a step, and behind them those of its workflow that it does not give itself."""
    found: dict[tuple[str, str], Given] = {}
    for of in (step, workflow):
        items = array(of.get("parameters"))
        if len(items) > MAX_PARAMETERS:
            where.refuse("too-many-parameters", f"there are more than {MAX_PARAMETERS} parameters")
        for index, one in enumerate(items):
            written = where.below("parameters", index).reused(one, "parameters")
            given = Given(text(written.get("name")), text(written.get("in")), written.get("value"))
            if is_call and not given.location:
                where.below("parameters", index).refuse("bad-parameter", f"`{given.name[:100]}` has no `in`")
            found.setdefault((given.location, given.name), given)
    return tuple(found.values())


def _payload(written: object, where: Where) -> Payload | None:
    members = mapping(written)
    if not members:
        return None
    replacements: list[Replacement] = []
    for index, one in enumerate(array(members.get("replacements"))[: MAX_REPLACEMENTS + 1]):
        replacement = mapping(one)
        target, kind = text(replacement.get("target")), selector_kind(replacement.get("targetSelectorType"))
        is_path = kind == "jsonpath"
        if kind not in ("", "jsonpath", "jsonpointer") or not target.startswith("$" if is_path else "/"):
            where.below("replacements", index).refuse("unsupported", "a replacement needs a JSON pointer or a JSONPath")
        replacements.append(Replacement(target, is_path, replacement.get("value")))
    if len(replacements) > MAX_REPLACEMENTS:
        where.refuse("too-many-replacements", f"there are more than {MAX_REPLACEMENTS} replacements")
    return Payload(members.get("payload"), text(members.get("contentType")), tuple(replacements))
