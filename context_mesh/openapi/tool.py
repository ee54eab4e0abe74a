"""A tool that stands for one operation, as MCP and the gateway see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from context_mesh.openapi.model import Argument, Operation

JsonObject = Mapping[str, object]


class Risk(IntEnum):
    """Our grade of what a call may do, from HTTP semantics; a person may raise or lower it."""

    READ = 0
    CREATE = 1  # adds something, changes nothing that is there
    WRITE = 2  # changes what is there
    DESTROY = 3  # deletes, or overwrites as a whole


@dataclass(frozen=True, slots=True)
class Annotations:
    """MCP's hints. `is_guess`: HTTP alone does not say so (a POST named `search`), a person should confirm."""

    is_read_only: bool
    is_destructive: bool
    is_idempotent: bool
    is_open_world: bool = True
    is_guess: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """One generated tool.

    name           `[a-z0-9_-]`, at most 64 characters, distinct in its import
    input_schema   published: JSON Schema 2020-12, an object's, slim, within the budget where that is possible
    full_schema    what arguments are checked against; the same object when nothing was cut
    output_schema  an outline that any honest answer fits, or None
    arguments      where each argument goes, fixed values included
    toolsets       from tags, or the first segment of the path
    example        arguments that fit `full_schema`, or None
    answer_fields  the members that an answer may have on its first level, all of them
    """

    name: str
    title: str
    description: str
    operation: Operation
    input_schema: JsonObject
    full_schema: JsonObject
    output_schema: JsonObject | None
    annotations: Annotations
    risk: Risk
    arguments: tuple[Argument, ...]
    toolsets: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    example: JsonObject | None = None
    answer_fields: tuple[str, ...] = ()

    def definition(self) -> dict[str, object]:
        """Return the tool as an item of MCP's `tools/list`."""
        members: dict[str, object] = {"name": self.name}
        if self.title:
            members["title"] = self.title
        members["description"] = self.description
        members["inputSchema"] = self.input_schema
        if self.output_schema is not None:
            members["outputSchema"] = self.output_schema
        members["annotations"] = {
            "readOnlyHint": self.annotations.is_read_only,
            "destructiveHint": self.annotations.is_destructive,
            "idempotentHint": self.annotations.is_idempotent,
            "openWorldHint": self.annotations.is_open_world,
        }
        return members
