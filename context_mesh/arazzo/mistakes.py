"""Mistakes in a workflow: each ends the reading of that one, and says where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from context_mesh.openapi.members import mapping, text


class Mistake(Exception):
    """Something in a workflow that must not be guessed at. `pointer` is below the workflow."""

    def __init__(self, code: str, reason: str, pointer: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a workflow, and the components of its file."""

    pointer: str
    components: Mapping[str, object]

    def below(self, *names: object) -> "Where":
        return Where("/".join([self.pointer, *map(str, names)]), self.components)

    def refuse(self, code: str, reason: str) -> NoReturn:
        raise Mistake(code, reason, self.pointer)

    def reused(self, written: object, kind: str) -> dict[str, object]:
        """Return an object as it is, or what its `reference` leads to among the components of that kind.

        A `value` beside the reference takes the place of the component's.
        """
        members = mapping(written)
        reference = members.get("reference")
        if reference is None:
            return members
        prefix = f"$components.{kind}."
        found = mapping(mapping(self.components.get(kind)).get(text(reference).removeprefix(prefix)))
        if not text(reference).startswith(prefix) or not found:
            self.refuse("dangling-reference", f"`{text(reference)[:100]}` leads to no component")
        return {**found, **({"value": members["value"]} if "value" in members else {})}
