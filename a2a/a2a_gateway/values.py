"""Parsed JSON of a peer: the small steps that translations are made of. Nothing here raises."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

Value = dict[str, object]
Object = Mapping[str, object]
Turn = Callable[[Object], Value]


def object_of(value: object) -> Object:
    """Return an object, empty when `value` is none."""
    return cast("Object", value) if isinstance(value, Mapping) else {}


def list_of(value: object) -> Sequence[object]:
    """Return a list, empty when `value` is none."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def objects_in(value: object) -> Sequence[Object]:
    """Return the objects of a list; what else is in it is left out."""
    return [cast("Object", item) for item in list_of(value) if isinstance(item, Mapping)]


def copied(value: Object, *without: str) -> Value:
    return {name: member for name, member in value.items() if name not in without}


def renamed(value: Object, names: Mapping[str, str]) -> Value:
    return {names.get(name, name): member for name, member in value.items()}


def turn(holder: Value, name: str, how: Turn) -> None:
    """Turn a member that is an object, in place; anything else stays."""
    inner = holder.get(name)
    if isinstance(inner, Mapping):
        holder[name] = how(cast("Object", inner))


def turn_each(holder: Value, name: str, how: Turn) -> None:
    """Turn the objects of a member that is a list, in place; what is no object stays, and what is no list."""
    inner = holder.get(name)
    if isinstance(inner, list):
        items = cast("Sequence[object]", inner)
        holder[name] = [how(cast("Object", item)) if isinstance(item, Mapping) else item for item in items]


def drop_empty(holder: Value, *names: str) -> None:
    """Remove members that are there and say nothing, in place."""
    for name in names:
        if name in holder and not holder[name]:
            del holder[name]
