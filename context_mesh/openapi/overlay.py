"""Overlay 1.0 and 1.1: changes to a description that we keep apart from it.

Actions run in order on the whole value; nothing is changed in place, since YAML aliases share. An action
that selects nothing is legal and a finding, because it is mostly a mistake.
"""

from collections.abc import Callable, Mapping
from typing import Final, cast

from context_mesh.openapi.files import shown
from context_mesh.openapi.jsonpath import BadPath, Key, Node, select
from context_mesh.openapi.members import array, flag, mapping, text
from context_mesh.openapi.parse import parse
from context_mesh.openapi.report import Report
from gateway_policies.refusal import BadRequest

MAX_ACTIONS: Final = 5_000
_REMOVED: Final = object()


def apply(overlay: bytes, value: object, name: str, report: Report) -> object:
    """Return `value` with an overlay's actions applied; findings point into the overlay, by its `name`.

    Raises `BadRequest`: `not_an_overlay`, or as `parse` does.
    """
    written = mapping(parse(overlay, name))
    version = text(written.get("overlay"))
    actions = array(written.get("actions"))
    if not version.startswith("1.") or len(actions) > MAX_ACTIONS:
        raise BadRequest(
            f"`{name}` is no Overlay of version 1 with at most {MAX_ACTIONS} actions",
            code="not_an_overlay",
            hint="give `overlay: 1.0.0` and `actions`",
        )
    for index, action in enumerate(actions):
        where = (name, f"/actions/{index}")
        try:
            value = _act(mapping(action), value, where, report)
        except BadPath as error:
            report.add("error", "bad-overlay", where, str(error))
    return value


def _act(action: Mapping[str, object], value: object, where: tuple[str, str], report: Report) -> object:
    target = text(action.get("target"))
    nodes = select(target, value)
    if not nodes:
        report.add("warning", "overlay-without-effect", where, f"`{shown(target)}` selects nothing")
    if "copy" in action:
        sources = select(text(action["copy"]), value)
        if len(sources) != 1:
            report.add("error", "bad-overlay", where, "`copy` must select exactly one thing")
            return value
        value = _merge_into(value, nodes, sources[0][1])
    if "update" in action:
        value = _merge_into(value, nodes, action["update"])
    if flag(action.get("remove")):
        for path in sorted({path for path, _ in nodes}, key=_last_first):  # later items first, so that indexes hold
            value = _changed(value, path, lambda _: _REMOVED)
    return {} if value is _REMOVED else value


def _last_first(path: tuple[Key, ...]) -> tuple[tuple[int, str], ...]:
    return tuple((-part, "") if isinstance(part, int) else (0, part) for part in path)


def _merge_into(value: object, nodes: list[Node], update: object) -> object:
    for path in dict.fromkeys(path for path, _ in nodes):
        value = _changed(value, path, lambda old: _merged(old, update))
    return value


def _merged(old: object, update: object) -> object:
    """Return `update` merged into `old`: objects by member, an array takes items, anything else is replaced."""
    if isinstance(old, dict) and isinstance(update, dict):
        merged = dict(cast("dict[str, object]", old))
        for name, item in cast("dict[str, object]", update).items():
            merged[name] = _merged(merged[name], item) if name in merged else item
        return merged
    if isinstance(old, list):
        more = cast("list[object]", update) if isinstance(update, list) else [update]
        return [*cast("list[object]", old), *more]
    return update


def _changed(value: object, path: tuple[Key, ...], change: Callable[[object], object]) -> object:
    """Return `value` with `change` made to what stands at `path`; what is no longer there stays so."""
    if not path:
        return change(value)
    key = path[0]
    if isinstance(value, dict) and key in value:
        members = dict(cast("dict[Key, object]", value))
        members[key] = _changed(members[key], path[1:], change)
        return {name: item for name, item in members.items() if item is not _REMOVED}
    if isinstance(value, list) and isinstance(key, int) and key < len(cast("list[object]", value)):
        items = list(cast("list[object]", value))
        items[key] = _changed(items[key], path[1:], change)
        return [item for item in items if item is not _REMOVED]
    return cast("object", value)
